using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class FleetOperations : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<bool>(
                name: "mails_held",
                table: "incidents",
                type: "boolean",
                nullable: false,
                defaultValue: false);

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "payload_dropped_at",
                table: "events",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "fleet_incidents",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "uuid", nullable: false),
                    kind = table.Column<string>(type: "text", nullable: false),
                    opened_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    resolved_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    stores = table.Column<int>(type: "integer", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_fleet_incidents", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "operator_mails",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "uuid", nullable: false),
                    fleet_incident_id = table.Column<Guid>(type: "uuid", nullable: false),
                    is_recovery = table.Column<bool>(type: "boolean", nullable: false),
                    recipient = table.Column<string>(type: "text", nullable: false),
                    subject = table.Column<string>(type: "text", nullable: false),
                    text = table.Column<string>(type: "text", nullable: false),
                    html = table.Column<string>(type: "text", nullable: false),
                    created_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    due_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    attempts = table.Column<int>(type: "integer", nullable: false),
                    sent_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    given_up_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    last_error = table.Column<string>(type: "text", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_operator_mails", x => x.id);
                    table.ForeignKey(
                        name: "fk_operator_mails_fleet_incidents_fleet_incident_id",
                        column: x => x.fleet_incident_id,
                        principalTable: "fleet_incidents",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateIndex(
                name: "ix_sync_jobs_created_at_id",
                table: "sync_jobs",
                columns: new[] { "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_incidents_opened_at_id",
                table: "incidents",
                columns: new[] { "opened_at", "id" });

            migrationBuilder.CreateIndex(
                name: "ix_events_payload_kept",
                table: "events",
                columns: new[] { "tenant_id", "received_at" },
                filter: "status in (2, 3) and payload_dropped_at is null");

            migrationBuilder.CreateIndex(
                name: "ux_fleet_incidents_open",
                table: "fleet_incidents",
                column: "kind",
                unique: true,
                filter: "resolved_at is null");

            migrationBuilder.CreateIndex(
                name: "ix_operator_mails_due",
                table: "operator_mails",
                column: "due_at",
                filter: "sent_at is null and given_up_at is null");

            migrationBuilder.CreateIndex(
                name: "ix_operator_mails_fleet_incident_id_recipient_is_recovery",
                table: "operator_mails",
                columns: new[] { "fleet_incident_id", "recipient", "is_recovery" },
                unique: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "operator_mails");

            migrationBuilder.DropTable(
                name: "fleet_incidents");

            migrationBuilder.DropIndex(
                name: "ix_sync_jobs_created_at_id",
                table: "sync_jobs");

            migrationBuilder.DropIndex(
                name: "ix_incidents_opened_at_id",
                table: "incidents");

            migrationBuilder.DropIndex(
                name: "ix_events_payload_kept",
                table: "events");

            migrationBuilder.DropColumn(
                name: "mails_held",
                table: "incidents");

            migrationBuilder.DropColumn(
                name: "payload_dropped_at",
                table: "events");
        }
    }
}
