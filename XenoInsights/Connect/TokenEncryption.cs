using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;

namespace XenoInsights.Connect;

/// <summary>Section <c>Encryption</c>; checked at start.</summary>
public sealed class EncryptionOptions
{
    public const string Section = "Encryption";

    /// <summary>
    /// Each <c>id:base64(32 bytes)</c>. The first encrypts, all decrypt: to rotate, put a new one in front and keep the
    /// old.
    /// </summary>
    public IList<string> Keys { get; } = [];

    internal static (string Id, byte[] Key)? Parse(string text)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var key = new byte[TokenEncryption.KeyBytes + 1];
        return
            colon is > 0 and <= byte.MaxValue
            && Ascii.IsValid(text)
            && Convert.TryFromBase64String(text[(colon + 1)..], key, out var length)
            && length == TokenEncryption.KeyBytes
            ? (text[..colon], key[..TokenEncryption.KeyBytes])
            : null;
    }
}

internal sealed class EncryptionOptionsValidator : IValidateOptions<EncryptionOptions>
{
    public ValidateOptionsResult Validate(string? name, EncryptionOptions options)
    {
        if (options.Keys.Count == 0)
            return ValidateOptionsResult.Fail(
                "Encryption:Keys is missing: a list of id:base64(32 bytes) to encrypt shops' tokens with, such as "
                    + "Encryption__Keys__0=k1:$(openssl rand -base64 32). Only Development makes its own."
            );
        var bad = Enumerable
            .Range(0, options.Keys.Count)
            .Where(i => EncryptionOptions.Parse(options.Keys[i]) is null)
            .ToList();
        if (bad.Count > 0)
            return ValidateOptionsResult.Fail(bad.Select(i => $"Encryption:Keys:{i} is not id:base64(32 bytes)."));
        return options.Keys.Select(k => EncryptionOptions.Parse(k)!.Value.Id).Distinct().Count() == options.Keys.Count
            ? ValidateOptionsResult.Success
            : ValidateOptionsResult.Fail("Encryption:Keys gives two keys the same id.");
    }
}

/// <summary>
/// Encrypts tokens with AES-256-GCM for one tenant and column: a ciphertext that is moved to another row or column does
/// not decrypt. Layout: version, length of key id, key id, nonce, tag, ciphertext.
/// </summary>
public sealed class TokenEncryption
{
    internal const int KeyBytes = 32;
    private const byte Version = 1;
    private const int NonceBytes = 12,
        TagBytes = 16;

    private readonly Dictionary<string, byte[]> _keys = [];
    private readonly string _current;

    public TokenEncryption(IOptions<EncryptionOptions> options)
    {
        var keys = options.Value.Keys.Select(k => EncryptionOptions.Parse(k)!.Value).ToList();
        foreach (var (id, key) in keys)
            _keys.Add(id, key);
        _current = keys[0].Id;
    }

    public byte[] Seal(Guid tenantId, string column, string plain)
    {
        var id = Encoding.ASCII.GetBytes(_current);
        byte[] header = [Version, (byte)id.Length, .. id];
        var text = Encoding.UTF8.GetBytes(plain);
        var box = new byte[header.Length + NonceBytes + TagBytes + text.Length];
        header.CopyTo(box, 0);
        var rest = box.AsSpan(header.Length);
        RandomNumberGenerator.Fill(rest[..NonceBytes]);
        using var aes = new AesGcm(_keys[_current], TagBytes);
        aes.Encrypt(
            rest[..NonceBytes],
            text,
            rest[(NonceBytes + TagBytes)..],
            rest[NonceBytes..(NonceBytes + TagBytes)],
            Binding(tenantId, column, header)
        );
        return box;
    }

    /// <exception cref="CryptographicException">Not sealed for this tenant and column, altered, or sealed with a key
    /// that is no longer configured.</exception>
    public string Open(Guid tenantId, string column, byte[] box)
    {
        if (box.Length < 2 || box[0] != Version || box.Length < 2 + box[1] + NonceBytes + TagBytes)
            throw new CryptographicException("Not a sealed token.");
        var header = box[..(2 + box[1])];
        var keyId = Encoding.ASCII.GetString(header, 2, header.Length - 2);
        if (!_keys.TryGetValue(keyId, out var key))
            throw new CryptographicException(
                $"Encryption:Keys has no key '{keyId}', which a stored token was sealed with."
            );
        var rest = box.AsSpan(header.Length);
        var text = new byte[rest.Length - NonceBytes - TagBytes];
        using var aes = new AesGcm(key, TagBytes);
        aes.Decrypt(
            rest[..NonceBytes],
            rest[(NonceBytes + TagBytes)..],
            rest[NonceBytes..(NonceBytes + TagBytes)],
            text,
            Binding(tenantId, column, header)
        );
        return Encoding.UTF8.GetString(text);
    }

    private static byte[] Binding(Guid tenantId, string column, byte[] header) =>
        [.. header, .. tenantId.ToByteArray(bigEndian: true), .. Encoding.UTF8.GetBytes(column)];
}
