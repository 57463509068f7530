using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class OnlineOrders : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "online_orders",
                table: "sales_days",
                type: "bigint",
                nullable: false,
                defaultValue: 0L);
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
                    update sales_days set online_orders = placed.online
                    from (select business_day, count(*) online from orders where tenant_id = store and counted and source_name = 'web' group by business_day) placed
                    where sales_days.tenant_id = store and sales_days.day = placed.business_day;
                end loop;
                perform set_config('role', 'none', true);
                perform set_config('app.tenant_id', '', true);
            end
            $$;
            """;

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropColumn(
                name: "online_orders",
                table: "sales_days");
        }
    }
}
