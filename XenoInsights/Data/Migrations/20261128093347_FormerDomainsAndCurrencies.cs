using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class FormerDomainsAndCurrencies : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_shop_domains_shop_id",
                table: "shop_domains");

            migrationBuilder.AddColumn<string>(
                name: "unknown_time_zone",
                table: "tenants",
                type: "text",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "ix_shop_domains_shop_id",
                table: "shop_domains",
                column: "shop_id");

            migrationBuilder.CreateIndex(
                name: "ix_orders_not_counted",
                table: "orders",
                columns: new[] { "tenant_id", "currency" },
                filter: "not counted")
                .Annotation("Npgsql:CreatedConcurrently", true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_shop_domains_shop_id",
                table: "shop_domains");

            migrationBuilder.DropIndex(
                name: "ix_orders_not_counted",
                table: "orders");

            migrationBuilder.DropColumn(
                name: "unknown_time_zone",
                table: "tenants");

            migrationBuilder.CreateIndex(
                name: "ix_shop_domains_shop_id",
                table: "shop_domains",
                column: "shop_id",
                unique: true);
        }
    }
}
