using System.Security.Cryptography;
using XenoInsights.Connect;

namespace XenoInsights.Development;

/// <summary>
/// Development's own key, made once and kept beside its database: tokens survive a restart as the rows do.
/// </summary>
internal static class DevelopmentEncryptionKey
{
    private const string FileName = "encryption-key";

    public static string ReadOrCreate(string dataRoot)
    {
        Directory.CreateDirectory(dataRoot);
        var path = Path.Combine(dataRoot, FileName);
        if (!File.Exists(path))
            Create(path);
        return File.ReadAllText(path);
    }

    // Written aside and moved without overwriting, so that of two starting at once both read the same whole key.
    private static void Create(string path)
    {
        var aside = $"{path}.{Guid.NewGuid():n}";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using (var writer = new StreamWriter(aside, options))
            writer.Write($"dev:{Convert.ToBase64String(RandomNumberGenerator.GetBytes(TokenEncryption.KeyBytes))}");
        try
        {
            File.Move(aside, path, overwrite: false);
        }
        catch (IOException) when (File.Exists(path))
        {
            File.Delete(aside);
        }
    }
}
