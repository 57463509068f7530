using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace XenoInsights.Data.Migrations
{
    /// <inheritdoc />
    public partial class Inbox : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_events_tenant_id_status_next_attempt_at",
                table: "events");

            migrationBuilder.DropColumn(
                name: "next_attempt_at",
                table: "events");

            migrationBuilder.AlterColumn<byte[]>(
                name: "payload",
                table: "events",
                type: "bytea",
                nullable: true,
                oldClrType: typeof(byte[]),
                oldType: "bytea");

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "due_at",
                table: "events",
                type: "timestamp with time zone",
                nullable: false,
                defaultValueSql: "now()");

            migrationBuilder.AddColumn<long>(
                name: "object_id",
                table: "events",
                type: "bigint",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "outcome",
                table: "events",
                type: "text",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "trace_id",
                table: "events",
                type: "text",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "data_requests",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    id = table.Column<Guid>(type: "uuid", nullable: false),
                    customer_id = table.Column<long>(type: "bigint", nullable: false),
                    requested_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    file = table.Column<string>(type: "jsonb", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_data_requests", x => new { x.tenant_id, x.id });
                });

            migrationBuilder.CreateTable(
                name: "redactions",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "uuid", nullable: false),
                    store = table.Column<Guid>(type: "uuid", nullable: false),
                    topic = table.Column<string>(type: "text", nullable: false),
                    webhook_id = table.Column<string>(type: "text", nullable: false),
                    requested_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    done_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    rows_before = table.Column<long>(type: "bigint", nullable: false),
                    rows_after = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_redactions", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "rereads",
                columns: table => new
                {
                    tenant_id = table.Column<Guid>(type: "uuid", nullable: false),
                    kind = table.Column<short>(type: "smallint", nullable: false),
                    shopify_id = table.Column<long>(type: "bigint", nullable: false),
                    requested_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    due_at = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    attempts = table.Column<int>(type: "integer", nullable: false),
                    last_error = table.Column<string>(type: "text", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("pk_rereads", x => new { x.tenant_id, x.kind, x.shopify_id });
                });

            migrationBuilder.CreateIndex(
                name: "ix_events_tenant_id_object_id",
                table: "events",
                columns: new[] { "tenant_id", "object_id" });

            migrationBuilder.CreateIndex(
                name: "ix_events_tenant_id_received_at",
                table: "events",
                columns: new[] { "tenant_id", "received_at" });

            migrationBuilder.CreateIndex(
                name: "ix_events_waiting",
                table: "events",
                columns: new[] { "tenant_id", "due_at" },
                filter: "status = 1");

            migrationBuilder.CreateIndex(
                name: "ix_rereads_tenant_id_due_at",
                table: "rereads",
                columns: new[] { "tenant_id", "due_at" });

            migrationBuilder.Sql(Walls.Sql);
            // The system role stores deliveries and finds work; what they say it may not read.
            migrationBuilder.Sql(
                """
                create policy system on events to xeno_system using (true);
                grant insert, select (tenant_id, webhook_id, topic, status, due_at, received_at, applied_at, attempts) on events to xeno_system;
                create policy system on rereads to xeno_system using (true);
                grant select on rereads to xeno_system;
                """);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.Sql("drop policy system on events; revoke all on events from xeno_system;");
            migrationBuilder.DropTable(
                name: "data_requests");

            migrationBuilder.DropTable(
                name: "redactions");

            migrationBuilder.DropTable(
                name: "rereads");

            migrationBuilder.DropIndex(
                name: "ix_events_tenant_id_object_id",
                table: "events");

            migrationBuilder.DropIndex(
                name: "ix_events_tenant_id_received_at",
                table: "events");

            migrationBuilder.DropIndex(
                name: "ix_events_waiting",
                table: "events");

            migrationBuilder.DropColumn(
                name: "due_at",
                table: "events");

            migrationBuilder.DropColumn(
                name: "object_id",
                table: "events");

            migrationBuilder.DropColumn(
                name: "outcome",
                table: "events");

            migrationBuilder.DropColumn(
                name: "trace_id",
                table: "events");

            migrationBuilder.AlterColumn<byte[]>(
                name: "payload",
                table: "events",
                type: "bytea",
                nullable: false,
                defaultValue: new byte[0],
                oldClrType: typeof(byte[]),
                oldType: "bytea",
                oldNullable: true);

            migrationBuilder.AddColumn<DateTimeOffset>(
                name: "next_attempt_at",
                table: "events",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "ix_events_tenant_id_status_next_attempt_at",
                table: "events",
                columns: new[] { "tenant_id", "status", "next_attempt_at" });
        }
    }
}
