using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class NewCustomersAndGuests : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateIndex(
                name: "ix_order_entries_tenant_id_day",
                table: "order_entries",
                columns: new[] { "tenant_id", "day" },
                filter: "customer_id is null");

            migrationBuilder.CreateIndex(
                name: "ix_customer_totals_tenant_id_first_order_day",
                table: "customer_totals",
                columns: new[] { "tenant_id", "first_order_day" });

            migrationBuilder.Sql(Walls.Sql);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_order_entries_tenant_id_day",
                table: "order_entries");

            migrationBuilder.DropIndex(
                name: "ix_customer_totals_tenant_id_first_order_day",
                table: "customer_totals");
        }
    }
}
