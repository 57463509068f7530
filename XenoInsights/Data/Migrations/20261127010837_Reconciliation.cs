using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class Reconciliation : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "count_checks",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    kind = table.Column<string>(type: "text", nullable: false),
                    checked_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    here = table.Column<long>(type: "bigint", nullable: false),
                    in_shopify = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_count_checks", x => new { x.tenant_id, x.kind });
                    table.ForeignKey(
                        name: "fk_count_checks_tenants_tenant_id",
                        column: x => x.tenant_id,
                        principalTable: "tenants",
                        principalColumn: "tenant_id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "day_checks",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    day = table.Column<DateOnly>(type: "date", nullable: false),
                    job_id = table.Column<Guid>(type: "uuid", nullable: false),
                    checked_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    state = table.Column<string>(type: "text", nullable: false),
                    orders_here = table.Column<long>(type: "bigint", nullable: false),
                    orders_in_shopify = table.Column<long>(type: "bigint", nullable: false),
                    total_before = table.Column<long>(type: "bigint", nullable: false),
                    total_here = table.Column<long>(type: "bigint", nullable: false),
                    total_in_shopify = table.Column<long>(type: "bigint", nullable: false),
                    differing_orders = table.Column<long[]>(type: "bigint[]", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_day_checks", x => new { x.tenant_id, x.day, x.job_id });
                    table.ForeignKey(
                        name: "fk_day_checks_tenants_tenant_id",
                        column: x => x.tenant_id,
                        principalTable: "tenants",
                        principalColumn: "tenant_id",
                        onDelete: ReferentialAction.Cascade);
                });
            migrationBuilder.Sql(Walls.Sql);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "count_checks");

            migrationBuilder.DropTable(
                name: "day_checks");
        }
    }
}
