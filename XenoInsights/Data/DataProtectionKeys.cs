using System.Xml.Linq;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace XenoInsights.Data;

/// <summary>One key of the ring that protects cookies, shared by all instances.</summary>
public sealed class DataProtectionKey
{
    public int Id { get; init; }
    public required string FriendlyName { get; init; }
    public required string Xml { get; init; }
}

/// <summary>
/// Keeps the key ring in PostgreSQL. The framework's own EF repository would query outside row-level security.
/// </summary>
internal sealed class DataProtectionKeyRepository(SystemDatabase database)
    : IXmlRepository,
        IConfigureOptions<KeyManagementOptions>
{
    public void Configure(KeyManagementOptions options) => options.XmlRepository = this;

    // The framework asks synchronously, at start and once a day, on whatever thread needs a key. Task.Run leaves that
    // thread's synchronization context: waiting inside a circuit's own would wait for itself.
    public IReadOnlyCollection<XElement> GetAllElements() =>
        Task.Run(() => database.RunAsync(db => db.DataProtectionKeys.Select(k => k.Xml).ToListAsync()))
            .GetAwaiter()
            .GetResult()
            .ConvertAll(XElement.Parse);

    public void StoreElement(XElement element, string friendlyName) =>
        Task.Run(() =>
                database.RunAsync(async db =>
                {
                    db.DataProtectionKeys.Add(
                        new DataProtectionKey
                        {
                            FriendlyName = friendlyName,
                            Xml = element.ToString(SaveOptions.DisableFormatting),
                        }
                    );
                    await db.SaveChangesAsync();
                })
            )
            .GetAwaiter()
            .GetResult();
}
