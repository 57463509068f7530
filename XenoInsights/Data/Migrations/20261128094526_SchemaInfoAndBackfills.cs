using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class SchemaInfoAndBackfills : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "backfills",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    name = table.Column<string>(type: "text", nullable: false),
                    next = table.Column<string>(type: "text", nullable: true),
                    started_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    done_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_backfills", x => new { x.tenant_id, x.name });
                    table.ForeignKey(
                        name: "fk_backfills_tenants_tenant_id",
                        column: x => x.tenant_id,
                        principalTable: "tenants",
                        principalColumn: "tenant_id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "schema_info",
                columns: table => new
                {
                    only_row = table.Column<bool>(type: "boolean", nullable: false),
                    migrations = table.Column<string[]>(type: "text[]", nullable: false),
                    required_migration = table.Column<string>(type: "text", nullable: true),
                    backfills = table.Column<string[]>(type: "text[]", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_schema_info", x => x.only_row);
                    table.CheckConstraint("ck_schema_info_only_row", "only_row");
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "backfills");

            migrationBuilder.DropTable(
                name: "schema_info");
        }
    }
}
