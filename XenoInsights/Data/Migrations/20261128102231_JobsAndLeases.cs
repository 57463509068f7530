using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class JobsAndLeases : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<short>(
                name: "priority",
                table: "sync_jobs",
                type: "smallint",
                nullable: false,
                defaultValue: (short)2);

            migrationBuilder.AddColumn<Guid>(
                name: "refresh_lease",
                table: "shopify_credentials",
                type: "uuid",
                nullable: true);

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "refresh_lease_until",
                table: "shopify_credentials",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "scheduled_runs",
                columns: table => new
                {
                    job = table.Column<string>(type: "text", nullable: false),
                    started_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    finished_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    succeeded_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    instance = table.Column<string>(type: "text", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_scheduled_runs", x => x.job);
                });

            migrationBuilder.CreateIndex(
                name: "ix_sync_jobs_due",
                table: "sync_jobs",
                columns: new[] { "type", "priority", "created_at" },
                filter: "status in ('Queued', 'Running')");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "scheduled_runs");

            migrationBuilder.DropIndex(
                name: "ix_sync_jobs_due",
                table: "sync_jobs");

            migrationBuilder.DropColumn(
                name: "priority",
                table: "sync_jobs");

            migrationBuilder.DropColumn(
                name: "refresh_lease",
                table: "shopify_credentials");

            migrationBuilder.DropColumn(
                name: "refresh_lease_until",
                table: "shopify_credentials");
        }
    }
}
