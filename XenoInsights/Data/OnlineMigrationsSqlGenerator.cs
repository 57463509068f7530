using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.EntityFrameworkCore.Migrations.Operations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Infrastructure.Internal;
using Npgsql.EntityFrameworkCore.PostgreSQL.Migrations;

namespace XenoInsights.Data;

/// <summary>
/// Leaves out of a migration the indexes of tables that exist already: building them would lock the table against
/// writing for as long as it takes. <see cref="Indexes"/> builds them afterwards, while everybody works.
/// </summary>
// The base class asks for the provider's options; there is no other way to derive from it.
#pragma warning disable EF1001
internal sealed class OnlineMigrationsSqlGenerator(
    MigrationsSqlGeneratorDependencies dependencies,
    INpgsqlSingletonOptions options
) : NpgsqlMigrationsSqlGenerator(dependencies, options)
#pragma warning restore EF1001
{
    /// <summary>Marks an index that is to be built now, outside of any migration.</summary>
    public const string Now = "XenoInsights:Now";

    public override IReadOnlyList<MigrationCommand> Generate(
        IReadOnlyList<MigrationOperation> operations,
        IModel? model = null,
        MigrationsSqlGenerationOptions options = MigrationsSqlGenerationOptions.Default
    )
    {
        var created = operations.OfType<CreateTableOperation>().Select(table => table.Name).ToHashSet();
        return base.Generate(
            [.. operations.Where(operation => operation is not CreateIndexOperation index || IsForNow(index))],
            model,
            options
        );

        bool IsForNow(CreateIndexOperation index) => created.Contains(index.Table) || index[Now] is true;
    }

    // An index that was left out and is dropped or renamed by a later migration of the same upgrade was never built.
    protected override void Generate(
        DropIndexOperation operation,
        IModel? model,
        MigrationCommandListBuilder builder,
        bool terminate
    )
    {
        builder
            .Append("DROP INDEX IF EXISTS ")
            .Append(Dependencies.SqlGenerationHelper.DelimitIdentifier(operation.Name, operation.Schema));
        if (!terminate)
            return;
        builder.AppendLine(Dependencies.SqlGenerationHelper.StatementTerminator);
        EndStatement(builder);
    }

    protected override void Generate(RenameIndexOperation operation, IModel? model, MigrationCommandListBuilder builder)
    {
        builder
            .Append("ALTER INDEX IF EXISTS ")
            .Append(Dependencies.SqlGenerationHelper.DelimitIdentifier(operation.Name, operation.Schema))
            .Append(" RENAME TO ")
            .Append(Dependencies.SqlGenerationHelper.DelimitIdentifier(operation.NewName))
            .AppendLine(Dependencies.SqlGenerationHelper.StatementTerminator);
        EndStatement(builder);
    }

    // A migration is run as one script, where a statement that ends without a semicolon would run into the next.
    protected override void Generate(SqlOperation operation, IModel? model, MigrationCommandListBuilder builder)
    {
        builder
            .Append(operation.Sql.TrimEnd().TrimEnd(';'))
            .AppendLine(Dependencies.SqlGenerationHelper.StatementTerminator);
        EndStatement(builder, operation.SuppressTransaction);
    }
}
