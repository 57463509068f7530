using System.Security.Cryptography;
using Microsoft.Extensions.Options;
using XenoInsights.Connect;
using XenoInsights.Development;

namespace XenoInsights.Tests.Connect;

public sealed class TokenVaultTests
{
    private static readonly Guid _tenant = Guid.NewGuid();
    private static readonly string _old = NewKey("old"),
        _new = NewKey("new");

    [Fact]
    public void A_token_opens_for_its_tenant_and_column()
    {
        var vault = Vault(_new);

        Assert.Equal("shpat_ü", vault.Open(_tenant, "access_token", vault.Seal(_tenant, "access_token", "shpat_ü")));
        Assert.NotEqual(vault.Seal(_tenant, "access_token", "x"), vault.Seal(_tenant, "access_token", "x"));
    }

    [Fact]
    public void A_ciphertext_moved_to_another_tenant_or_column_does_not_open()
    {
        var vault = Vault(_new);
        var box = vault.Seal(_tenant, "access_token", "shpat_1");

        Assert.ThrowsAny<CryptographicException>(() => vault.Open(Guid.NewGuid(), "access_token", box));
        Assert.ThrowsAny<CryptographicException>(() => vault.Open(_tenant, "refresh_token", box));
    }

    [Fact]
    public void No_byte_can_be_changed_or_cut_off()
    {
        var vault = Vault(_new);
        var box = vault.Seal(_tenant, "access_token", "shpat_1");

        for (var i = 0; i < box.Length; i++)
        {
            var changed = (byte[])box.Clone();
            changed[i] ^= 1;
            Assert.ThrowsAny<CryptographicException>(() => vault.Open(_tenant, "access_token", changed));
            Assert.ThrowsAny<CryptographicException>(() => vault.Open(_tenant, "access_token", box[..i]));
        }
    }

    [Fact]
    public void After_a_rotation_the_new_key_seals_and_the_old_one_still_opens()
    {
        var sealedBefore = Vault(_old).Seal(_tenant, "access_token", "shpat_1");
        var rotated = Vault(_new, _old);

        Assert.Equal("shpat_1", rotated.Open(_tenant, "access_token", sealedBefore));
        Assert.Equal(
            "shpat_2",
            Vault(_new).Open(_tenant, "access_token", rotated.Seal(_tenant, "access_token", "shpat_2"))
        );
        var failure = Assert.Throws<CryptographicException>(() =>
            Vault(_new).Open(_tenant, "access_token", sealedBefore)
        );
        Assert.Contains("Encryption:Keys has no key 'old'", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Encryption:Keys is missing")]
    [InlineData("Encryption:Keys:0 is not", "no-colon")]
    [InlineData("Encryption:Keys:0 is not", "k:c2hvcnQ=")]
    [InlineData("Encryption:Keys:0 is not", ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
    [InlineData(
        "same id",
        "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "k:BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    )]
    public void Unusable_keys_are_named(string complaint, params string[] keys)
    {
        var options = new EncryptionOptions();
        foreach (var key in keys)
            options.Keys.Add(key);

        var result = new EncryptionOptionsValidator().Validate(null, options);

        Assert.Contains(complaint, result.FailureMessage, StringComparison.Ordinal);
        Assert.DoesNotContain("AAAA", result.FailureMessage, StringComparison.Ordinal);
    }

    [Fact]
    public void Development_makes_its_key_once()
    {
        var folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            var key = DevelopmentEncryptionKey.ReadOrCreate(folder);

            Assert.NotNull(EncryptionOptions.Parse(key));
            Assert.Equal(key, DevelopmentEncryptionKey.ReadOrCreate(folder));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static TokenEncryption Vault(params string[] keys)
    {
        var options = new EncryptionOptions();
        foreach (var key in keys)
            options.Keys.Add(key);
        return new(Options.Create(options));
    }

    private static string NewKey(string id) => $"{id}:{Convert.ToBase64String(RandomNumberGenerator.GetBytes(32))}";
}
