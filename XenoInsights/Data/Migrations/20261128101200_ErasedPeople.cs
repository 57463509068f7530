using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class ErasedPeople : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<long>(
                name: "shop_id",
                table: "redactions",
                type: "bigint",
                nullable: true);

            migrationBuilder.AddColumn<string[]>(
                name: "subject",
                table: "redactions",
                type: "text[]",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "erased_people",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    identifier = table.Column<string>(type: "text", nullable: false),
                    erased_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_erased_people", x => new { x.tenant_id, x.identifier });
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "erased_people");

            migrationBuilder.DropColumn(
                name: "shop_id",
                table: "redactions");

            migrationBuilder.DropColumn(
                name: "subject",
                table: "redactions");
        }
    }
}
