namespace XenoInsights.Webhooks;

/// <summary>What is stored of a person, ready for the store's owner to download.</summary>
public sealed record DataRequestView(Guid Id, long CustomerId, DateTimeOffset RequestedAt);

/// <summary>The people of the entered store who asked for their data.</summary>
public interface IDataRequestList
{
    /// <summary>The newest hundred, newest first; for owners.</summary>
    Task<List<DataRequestView>> ListAsync(CancellationToken ct);
}
