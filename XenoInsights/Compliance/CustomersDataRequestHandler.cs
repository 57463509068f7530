using System.Text.Json;
using Npgsql;
using XenoInsights.Data;
using XenoInsights.Shopify;
using XenoInsights.Tenants;
using XenoInsights.Webhooks;

namespace XenoInsights.Compliance;

/// <summary>Gathers what is stored of a person for the store's owner, who answers them.</summary>
internal sealed class CustomersDataRequestHandler : IEventHandler
{
    public string Topic => WebhookTopics.CustomersDataRequest;

    public async Task<string> HandleAsync(
        XenoDbContext db,
        Tenant tenant,
        WaitingEvent waiting,
        JsonElement body,
        CancellationToken ct
    )
    {
        if (body.Object("customer")?.LongOrNull("id") is not { } customer)
            return "The request names no customer id, and people are known by nothing else here: "
                + "there is nothing to hand out.";
        // Not Shopify's own counters, which its deliveries no longer tell: the orders themselves are in the file.
        await using var command = db.Command(
            """
            insert into data_requests (tenant_id, id, customer_id, requested_at, file)
            select $1, $2, $3, $4, jsonb_build_object(
                'customer', (
                    select to_jsonb(c)
                        - array['tenant_id', 'content_hash', 'source', 'number_of_orders', 'amount_spent']
                    from customers c where c.tenant_id = $1 and c.shopify_id = $3),
                'orders', (
                    select coalesce(jsonb_agg((to_jsonb(o) - array['tenant_id', 'content_hash', 'source'])
                        || jsonb_build_object('lines', (
                            select coalesce(jsonb_agg(to_jsonb(l) - array['tenant_id', 'order_id']), '[]')
                            from order_line_items l where l.tenant_id = $1 and l.order_id = o.shopify_id))
                        order by o.created_at), '[]')
                    from orders o where o.tenant_id = $1 and o.customer_id = $3),
                'checkouts', (
                    select coalesce(jsonb_agg(to_jsonb(k) - array['tenant_id', 'content_hash', 'source']
                        order by k.created_at), '[]')
                    from checkouts k where k.tenant_id = $1 and k.customer_id = $3))
            """
        );
        command.Parameters.Add(Sql.Uuid(tenant.TenantId));
        command.Parameters.Add(Sql.Uuid(Guid.CreateVersion7()));
        command.Parameters.Add(new NpgsqlParameter { Value = customer });
        command.Parameters.Add(new NpgsqlParameter { Value = waiting.TriggeredAt.UtcDateTime });
        await command.ExecuteNonQueryAsync(ct);
        return "What is stored of the person is ready for the store's owner to download.";
    }
}
