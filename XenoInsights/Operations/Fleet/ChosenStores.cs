using Npgsql;
using NpgsqlTypes;
using XenoInsights.Authentication;
using XenoInsights.Data;
using XenoInsights.Tenants;

namespace XenoInsights.Operations.Fleet;

/// <summary>A store that an operator's action is for.</summary>
/// <param name="TimeZone">IANA zone.</param>
internal sealed record ChosenStore(Guid TenantId, string StoreDomain, TenantStatus Status, string TimeZone);

/// <summary>Which stores an operator's action is for.</summary>
/// <param name="Ids">Null: all of them.</param>
/// <param name="After">Goes on after this store.</param>
internal sealed record StoreChoice(IReadOnlyList<Guid>? Ids, Guid? After);

/// <summary>Finds the stores of an operator's action, in the order of their ids.</summary>
internal sealed class ChosenStores(Operators operators)
{
    /// <summary>Which of the named stores do not exist.</summary>
    /// <exception cref="AccessDeniedException">The caller is no operator.</exception>
    public async Task<List<Guid>> UnknownAsync(Caller? caller, StoreChoice choice, CancellationToken ct)
    {
        if (choice.Ids is not { } ids)
            return [];
        var known = await FindAsync(caller, choice with { After = null }, "true", [], ids.Count, ct);
        return [.. ids.Except(known.Select(store => store.TenantId))];
    }

    /// <param name="condition">SQL about the tenant <c>t</c>; its parameters begin with $4.</param>
    /// <exception cref="AccessDeniedException">The caller is no operator.</exception>
    public Task<List<ChosenStore>> FindAsync(
        Caller? caller,
        StoreChoice choice,
        string condition,
        NpgsqlParameter[] arguments,
        int limit,
        CancellationToken ct
    ) =>
        operators.RunAsync(
            caller,
            async db =>
            {
                await using var command = db.Command(
                    $"""
                    select t.tenant_id, t.shop_domain, t.status, t.time_zone from tenants t
                    where ($1::uuid[] is null or t.tenant_id = any($1)) and ($2::uuid is null or t.tenant_id > $2)
                        and {condition}
                    order by t.tenant_id limit $3
                    """
                );
                command.Parameters.Add(
                    new NpgsqlParameter
                    {
                        Value = (object?)choice.Ids?.ToArray() ?? DBNull.Value,
                        NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Uuid,
                    }
                );
                command.Parameters.Add(
                    new NpgsqlParameter
                    {
                        Value = (object?)choice.After ?? DBNull.Value,
                        NpgsqlDbType = NpgsqlDbType.Uuid,
                    }
                );
                command.Parameters.Add(new NpgsqlParameter { Value = limit });
                foreach (var argument in arguments)
                    command.Parameters.Add(argument.Clone());
                var stores = new List<ChosenStore>();
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    var status = Enum.Parse<TenantStatus>(reader.GetString(2));
                    stores.Add(new(reader.GetGuid(0), reader.GetString(1), status, reader.GetString(3)));
                }
                return stores;
            },
            ct
        );
}
