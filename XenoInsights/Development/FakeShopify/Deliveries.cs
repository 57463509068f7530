using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace XenoInsights.Development.FakeShopify;

/// <summary>
/// Delivers what happened in a store to those who subscribed, as the platform does: signed, 5 s for an answer, 8
/// repetitions within about 4 hours, and then the subscription is deleted. In memory: what waits is lost with the
/// process.
/// </summary>
internal sealed class DemoDeliveries(FakeShopifyOptions options) : IAsyncDisposable
{
    private static readonly TimeSpan _answerWithin = TimeSpan.FromSeconds(5);
    private static readonly int[] _retryMinutes = [1, 2, 4, 8, 16, 32, 64, 113];

    private readonly HttpClient _http = new(
        new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(1) }
    )
    {
        Timeout = _answerWithin,
    };
    private readonly CancellationTokenSource _stopped = new();
    private int _waiting;

    /// <summary>Nothing is on its way or waits for a repetition.</summary>
    public bool IsIdle => Volatile.Read(ref _waiting) == 0;

    /// <param name="topic">As in the header, such as orders/create.</param>
    public void Announce(DemoStore store, string topic, JsonNode payload, DateTimeOffset at)
    {
        var eventId = Guid.NewGuid().ToString();
        var body = Encoding.UTF8.GetBytes(payload.ToJsonString());
        var name = topic.Replace('/', '_').ToUpperInvariant();
        foreach (var subscription in store.Webhooks.Set.All().Where(s => s.Topic == name && MayReach(s.Uri)).ToList())
        {
            if (Random.Shared.NextDouble() < store.Faults.LoseWebhooks)
            {
                continue;
            }
            var delivery = new Delivery(store, subscription, topic, body, Guid.NewGuid().ToString(), eventId, at);
            Start(delivery);
            if (Random.Shared.NextDouble() < store.Faults.DuplicateWebhooks)
            {
                Start(delivery);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stopped.CancelAsync();
        while (!IsIdle)
        {
            await Task.Delay(10);
        }
        _http.Dispose();
        _stopped.Dispose();
    }

    private sealed record Delivery(
        DemoStore Store,
        DemoWebhook Subscription,
        string Topic,
        byte[] Body,
        string WebhookId,
        string EventId,
        DateTimeOffset At
    );

    /// <summary>Addresses of this machine and of the app alone: nothing made up leaves this machine.</summary>
    private bool MayReach(string uri) =>
        Uri.TryCreate(uri, UriKind.Absolute, out var address)
        && (address.IsLoopback || address.Host == options.AppUrl?.Host);

    private void Start(Delivery delivery)
    {
        Interlocked.Increment(ref _waiting);
        _ = RunAsync(delivery);
    }

    private async Task RunAsync(Delivery delivery)
    {
        try
        {
            await Task.Yield();
            var faults = delivery.Store.Faults;
            await Task.Delay(
                faults.DelayWebhooks + (faults.ShuffleWebhooks * Random.Shared.NextDouble()),
                options.Time,
                _stopped.Token
            );
            foreach (var minutes in _retryMinutes.Append(0))
            {
                if (await PostAsync(delivery))
                {
                    return;
                }
                await Task.Delay(TimeSpan.FromMinutes(minutes) * options.RetryClock, options.Time, _stopped.Token);
            }
            delivery.Store.Webhooks.Delete(delivery.Subscription.Id);
        }
        catch (OperationCanceledException)
        {
            // The platform stops.
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private async Task<bool> PostAsync(Delivery delivery)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, delivery.Subscription.Uri)
        {
            Content = new ByteArrayContent(delivery.Body),
        };
        request.Content.Headers.ContentType = new("application/json");
        request.Headers.Add("X-Shopify-Topic", delivery.Topic);
        request.Headers.Add(
            "X-Shopify-Hmac-Sha256",
            Convert.ToBase64String(HMACSHA256.HashData(Encoding.UTF8.GetBytes(options.ClientSecret), delivery.Body))
        );
        request.Headers.Add("X-Shopify-Shop-Domain", delivery.Store.Domain);
        request.Headers.Add("X-Shopify-API-Version", "2026-10");
        request.Headers.Add("X-Shopify-Webhook-Id", delivery.WebhookId);
        request.Headers.Add("X-Shopify-Event-Id", delivery.EventId);
        request.Headers.Add(
            "X-Shopify-Triggered-At",
            delivery.At.UtcDateTime.ToString("O", CultureInfo.InvariantCulture)
        );
        try
        {
            using var response = await _http.SendAsync(request, _stopped.Token);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
        catch (OperationCanceledException) when (!_stopped.IsCancellationRequested)
        {
            return false;
        }
    }
}

/// <summary>
/// Objects as deliveries carry them: REST-shaped, snake case, numeric ids, offset instants of the shop's zone, money as
/// text.
/// </summary>
internal static class DemoPayloads
{
    public static JsonObject Of(DemoOrder order, DemoShop shop) =>
        new()
        {
            ["id"] = order.Id,
            ["admin_graphql_api_id"] = new Gid("Order", order.Id).ToString(),
            ["name"] = order.Name,
            ["order_number"] = order.Number,
            ["created_at"] = At(order.CreatedAt, shop),
            ["processed_at"] = At(order.ProcessedAt, shop),
            ["updated_at"] = At(order.UpdatedAt, shop),
            ["cancelled_at"] = order.CancelledAt is { } cancelled ? At(cancelled, shop) : null,
            ["cancel_reason"] = order.CancelReason?.ToLowerInvariant(),
            ["test"] = order.Test,
            ["taxes_included"] = order.TaxesIncluded,
            ["currency"] = order.Currency.Code,
            ["email"] = order.Email,
            ["source_name"] = order.SourceName,
            ["financial_status"] = Snake(order.FinancialStatus.ToString()),
            ["fulfillment_status"] = order.FulfillmentStatus switch
            {
                FulfillmentStatus.Unfulfilled => null,
                FulfillmentStatus.PartiallyFulfilled => "partial",
                var status => Snake(status.ToString()),
            },
            ["customer"] = order.CustomerId is { } customer
                ? new JsonObject
                {
                    ["id"] = customer,
                    ["admin_graphql_api_id"] = new Gid("Customer", customer).ToString(),
                    ["email"] = order.Email,
                }
                : null,
            ["line_items"] = List(
                order.Lines,
                line => new JsonObject
                {
                    ["id"] = line.Id,
                    ["admin_graphql_api_id"] = new Gid("LineItem", line.Id).ToString(),
                    ["title"] = line.Title,
                    ["sku"] = line.Sku,
                    ["quantity"] = line.Quantity,
                    ["current_quantity"] = line.CurrentQuantity,
                    ["price"] = Text(line.UnitPrice),
                    ["price_set"] = Set(line.UnitPrice),
                    ["gift_card"] = line.IsGiftCard,
                    ["product_id"] = line.ProductId,
                    ["variant_id"] = line.VariantId,
                    ["discount_allocations"] = List([.. line.LineDiscounts, .. line.OrderDiscounts], Allocation),
                    ["tax_lines"] = List(line.Taxes, Tax),
                    ["duties"] = List(
                        line.Duties,
                        duty => new JsonObject { ["id"] = duty.Id, ["price"] = Text(duty.Price) }
                    ),
                }
            ),
            ["shipping_lines"] = List(
                order.ShippingLines,
                line => new JsonObject
                {
                    ["id"] = line.Id,
                    ["title"] = line.Title,
                    ["price"] = Text(line.Price),
                    ["price_set"] = Set(line.Price),
                    ["discount_allocations"] = List(line.Discounts, Allocation),
                    ["tax_lines"] = List(line.Taxes, Tax),
                }
            ),
            ["refunds"] = List(order.Refunds, refund => Of(refund, order, shop)),
            ["total_price"] = Text(order.Total),
            ["total_price_set"] = Set(order.Total),
            ["current_total_price"] = Text(order.CurrentTotal),
            ["current_total_price_set"] = Set(order.CurrentTotal),
            ["total_tax"] = Text(order.TotalTax),
            ["total_tip_received"] = Text(order.TotalTip),
        };

    public static JsonObject Of(DemoRefund refund, DemoOrder order, DemoShop shop) =>
        new()
        {
            ["id"] = refund.Id,
            ["admin_graphql_api_id"] = new Gid("Refund", refund.Id).ToString(),
            ["order_id"] = order.Id,
            ["created_at"] = At(refund.CreatedAt, shop),
            ["processed_at"] = At(refund.CreatedAt, shop),
            ["note"] = refund.Note,
            ["refund_line_items"] = List(
                refund.Lines,
                line => new JsonObject
                {
                    ["id"] = line.Id,
                    ["line_item_id"] = line.LineItem.Id,
                    ["quantity"] = line.Quantity,
                    ["subtotal"] = JsonNode.Parse(Text(line.Subtotal)),
                    ["total_tax"] = JsonNode.Parse(Text(line.Tax)),
                    ["subtotal_set"] = Set(line.Subtotal),
                    ["total_tax_set"] = Set(line.Tax),
                }
            ),
            // The platform tells shipping given back as an adjustment without its tax, whether prices include tax or
            // not.
            ["order_adjustments"] = List(
                [
                    .. refund.Shipping.Select(s =>
                        (
                            s.Id,
                            Kind: "shipping_refund",
                            Amount: -(order.TaxesIncluded ? s.Subtotal - s.Tax : s.Subtotal),
                            Tax: -s.Tax
                        )
                    ),
                    .. refund.Adjustments.Select(a => (a.Id, Kind: "refund_discrepancy", a.Amount, a.Tax)),
                ],
                adjustment => new JsonObject
                {
                    ["id"] = adjustment.Id,
                    ["kind"] = adjustment.Kind,
                    ["amount"] = Text(adjustment.Amount),
                    ["amount_set"] = Set(adjustment.Amount),
                    ["tax_amount"] = Text(adjustment.Tax),
                    ["tax_amount_set"] = Set(adjustment.Tax),
                }
            ),
            ["transactions"] = List(
                refund.Transactions,
                t => new JsonObject
                {
                    ["id"] = t.Id,
                    ["kind"] = "refund",
                    ["status"] = "success",
                    ["amount"] = Text(t.Amount),
                }
            ),
        };

    public static JsonObject Of(DemoCustomer customer, DemoShop shop) =>
        new()
        {
            ["id"] = customer.Id,
            ["admin_graphql_api_id"] = new Gid("Customer", customer.Id).ToString(),
            ["created_at"] = At(customer.CreatedAt, shop),
            ["updated_at"] = At(customer.UpdatedAt, shop),
            ["first_name"] = customer.FirstName,
            ["last_name"] = customer.LastName,
            ["email"] = customer.Email,
            ["state"] = "disabled",
            ["orders_count"] = customer.NumberOfOrders,
            ["total_spent"] = Text(customer.AmountSpent),
            ["default_address"] = customer.Address is { } address
                ? new JsonObject
                {
                    ["country_code"] = address.CountryCode,
                    ["country"] = address.Country,
                    ["city"] = address.City,
                }
                : null,
        };

    public static JsonObject Of(DemoCheckout checkout, DemoCustomer? customer, DemoShop shop) =>
        new()
        {
            ["id"] = checkout.Id,
            ["token"] = string.Create(CultureInfo.InvariantCulture, $"demo{checkout.Id}"),
            ["name"] = string.Create(CultureInfo.InvariantCulture, $"#{checkout.Id}"),
            ["created_at"] = At(checkout.CreatedAt, shop),
            ["updated_at"] = At(checkout.UpdatedAt, shop),
            ["completed_at"] = checkout.CompletedAt is { } completed ? At(completed, shop) : null,
            ["email"] = customer?.Email ?? "guest@example.test",
            ["customer"] = customer is null ? null : Of(customer, shop),
            ["currency"] = checkout.Currency.Code,
            ["presentment_currency"] = checkout.Currency.Presentment?.Code ?? checkout.Currency.Code,
            ["abandoned_checkout_url"] = string.Create(
                CultureInfo.InvariantCulture,
                $"https://{shop.Domain}/checkouts/{checkout.Id}/recover"
            ),
            ["total_price"] = checkout.LinesTotal.PresentmentAmount.ToString(),
            ["line_items"] = List(
                checkout.Lines,
                line => new JsonObject
                {
                    ["title"] = line.Title,
                    ["sku"] = line.Sku,
                    ["quantity"] = line.Quantity,
                    ["price"] = line.UnitPrice.PresentmentAmount.ToString(),
                    ["line_price"] = line.Total.PresentmentAmount.ToString(),
                    ["product_id"] = line.ProductId,
                }
            ),
        };

    private static JsonObject Allocation(DemoMoney amount) =>
        new() { ["amount"] = Text(amount), ["amount_set"] = Set(amount) };

    private static JsonObject Tax(DemoTax tax) =>
        new()
        {
            ["title"] = tax.Title,
            ["rate"] = tax.Rate,
            ["price"] = Text(tax.Price),
            ["price_set"] = Set(tax.Price),
        };

    private static JsonArray List<T>(IEnumerable<T> items, Func<T, JsonNode> write) => [.. items.Select(write)];

    private static string Text(DemoMoney money) => money.ShopAmount.ToString();

    private static JsonObject Set(DemoMoney money) =>
        new()
        {
            ["shop_money"] = new JsonObject
            {
                ["amount"] = money.ShopAmount.ToString(),
                ["currency_code"] = money.Currency.Code,
            },
            ["presentment_money"] = new JsonObject
            {
                ["amount"] = money.PresentmentAmount.ToString(),
                ["currency_code"] = money.Currency.Presentment?.Code ?? money.Currency.Code,
            },
        };

    private static string At(DateTimeOffset instant, DemoShop shop) =>
        TimeZoneInfo.ConvertTime(instant, shop.Zone).ToString("yyyy-MM-dd'T'HH:mm:sszzz", CultureInfo.InvariantCulture);

    private static string Snake(string name) =>
        string.Concat(
            name.Select(
                (c, i) => char.IsUpper(c) && i > 0 ? $"_{char.ToLowerInvariant(c)}" : $"{char.ToLowerInvariant(c)}"
            )
        );
}
