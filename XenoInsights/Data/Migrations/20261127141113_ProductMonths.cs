using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class ProductMonths : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "product_months",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    month = table.Column<DateOnly>(type: "date", nullable: false),
                    product_id = table.Column<long>(type: "bigint", nullable: false),
                    units_ordered = table.Column<long>(type: "bigint", nullable: false),
                    units_returned = table.Column<long>(type: "bigint", nullable: false),
                    gross = table.Column<long>(type: "bigint", nullable: false),
                    discounts = table.Column<long>(type: "bigint", nullable: false),
                    returns = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_product_months", x => new { x.tenant_id, x.month, x.product_id });
                });

            migrationBuilder.Sql(Walls.Sql);
            migrationBuilder.Sql(Fill);
        }

        // Store by store, as the role that may see one of them at a time.
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
                    insert into product_months (tenant_id, month, product_id, units_ordered, units_returned, gross, discounts, returns)
                    select store, date_trunc('month', day::timestamp)::date, product_id, sum(units_ordered), sum(units_returned), sum(gross), sum(discounts), sum(returns)
                    from product_days where tenant_id = store group by 2, 3;
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
                name: "product_months");
        }
    }
}
