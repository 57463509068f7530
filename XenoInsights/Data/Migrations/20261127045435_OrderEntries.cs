using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class OrderEntries : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "order_entries",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    order_id = table.Column<long>(type: "bigint", nullable: false),
                    day = table.Column<DateOnly>(type: "date", nullable: false),
                    original = table.Column<bool>(type: "boolean", nullable: false),
                    at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    customer_id = table.Column<long>(type: "bigint", nullable: true),
                    units = table.Column<long>(type: "bigint", nullable: false),
                    gross = table.Column<long>(type: "bigint", nullable: false),
                    discounts = table.Column<long>(type: "bigint", nullable: false),
                    returns = table.Column<long>(type: "bigint", nullable: false),
                    shipping = table.Column<long>(type: "bigint", nullable: false),
                    taxes = table.Column<long>(type: "bigint", nullable: false),
                    duties = table.Column<long>(type: "bigint", nullable: false),
                    fees = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_order_entries", x => new { x.tenant_id, x.order_id, x.day, x.original });
                });

            migrationBuilder.CreateIndex(
                name: "ix_orders_tenant_id_name",
                table: "orders",
                columns: new[] { "tenant_id", "name" });

            migrationBuilder.CreateIndex(
                name: "ix_order_sales_tenant_id_product_id_day_order_id",
                table: "order_sales",
                columns: new[] { "tenant_id", "product_id", "day", "order_id" },
                filter: "product_id is not null");

            migrationBuilder.CreateIndex(
                name: "ix_order_entries_tenant_id_customer_id_day",
                table: "order_entries",
                columns: new[] { "tenant_id", "customer_id", "day" },
                filter: "customer_id is not null");

            migrationBuilder.CreateIndex(
                name: "ix_order_entries_tenant_id_day_at_order_id_original",
                table: "order_entries",
                columns: new[] { "tenant_id", "day", "at", "order_id", "original" });
            migrationBuilder.Sql(Walls.Sql);
            migrationBuilder.Sql(Fill);
        }

        // What is stored already gets its entries too, store by store, as the role that may see one of them at a time.
        private const string Fill =
            """
            do $$
            declare
                store uuid;
                stores uuid[];
            begin
                perform set_config('role', 'xeno_system', true);
                select coalesce(array_agg(tenant_id), '{}') into stores from tenants;
                perform set_config('role', 'xeno_app', true);
                foreach store in array stores loop
                    perform set_config('app.tenant_id', store::text, true);
                    insert into order_entries (tenant_id, order_id, day, original, at, customer_id, units, gross, discounts, returns, shipping, taxes, duties, fees)
                    select store, order_id, day, original, case when original then max(o.processed_at) else max(s.happened_at) end, max(o.customer_id),
                           sum(units), sum(gross), sum(discounts), sum("returns"), sum(shipping), sum(taxes), sum(duties), sum(fees)
                    from (
                        select shopify_id order_id, business_day as day, true original, processed_at happened_at, 0 units, 0 gross, 0 discounts, 0 "returns", 0 shipping, 0 taxes, 0 duties, 0 fees
                        from orders where tenant_id = store and counted
                        union all
                        select order_id, day, original, happened_at, case when measure in (1, 2) then quantity else 0 end, case measure when 1 then amount + discount else 0 end,
                               case measure when 1 then discount else 0 end, case measure when 2 then -amount else 0 end, case measure when 3 then amount else 0 end, tax,
                               case measure when 4 then amount else 0 end, case measure when 5 then amount else 0 end
                        from order_sales where tenant_id = store and measure <> 0
                    ) s
                    join orders o on o.tenant_id = store and o.shopify_id = s.order_id and o.counted
                    group by order_id, day, original;
                end loop;
                perform set_config('role', 'none', true);
                perform set_config('app.tenant_id', '', true);
            end
            $$;
            """;

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "order_entries");

            migrationBuilder.DropIndex(
                name: "ix_orders_tenant_id_name",
                table: "orders");

            migrationBuilder.DropIndex(
                name: "ix_order_sales_tenant_id_product_id_day_order_id",
                table: "order_sales");
        }
    }
}
