using System.Globalization;
using System.Web;
using Npgsql;

namespace XenoInsights.Data;

/// <summary>
/// Reads <c>postgres://user:password@host:port/database?sslmode=require</c>, the form hosting providers hand out.
/// </summary>
public static class PostgresUrl
{
    public static bool IsUrl(string value) =>
        value.StartsWith("postgres://", StringComparison.OrdinalIgnoreCase)
        || value.StartsWith("postgresql://", StringComparison.OrdinalIgnoreCase);

    /// <exception cref="FormatException">Not such a URL, or a parameter nobody here understands.</exception>
    public static NpgsqlConnectionStringBuilder Parse(string value)
    {
        if (!Uri.TryCreate(value, UriKind.Absolute, out var url))
            throw new FormatException("it is not a well-formed URL");
        var login = url.UserInfo.Split(':', 2);
        var target = new NpgsqlConnectionStringBuilder { Host = url.DnsSafeHost.Length > 0 ? url.DnsSafeHost : null };
        if (url.Port > 0)
            target.Port = url.Port;
        if (login[0].Length > 0)
            target.Username = Uri.UnescapeDataString(login[0]);
        if (login.Length > 1)
            target.Password = Uri.UnescapeDataString(login[1]);
        if (url.AbsolutePath.Length > 1)
            target.Database = Uri.UnescapeDataString(url.AbsolutePath[1..]);
        var parameters = HttpUtility.ParseQueryString(url.Query);
        foreach (var name in parameters.AllKeys)
            Apply(target, name ?? "", parameters[name]!);
        return target;
    }

    private static void Apply(NpgsqlConnectionStringBuilder target, string name, string value)
    {
        switch (name)
        {
            case "sslmode":
                target.SslMode = Mode<SslMode>(name, value);
                break;
            case "channel_binding":
                target.ChannelBinding = Mode<ChannelBinding>(name, value);
                break;
            case "sslrootcert":
                target.RootCertificate = value;
                break;
            case "application_name":
                target.ApplicationName = value;
                break;
            case "options":
                target.Options = value;
                break;
            case "connect_timeout":
                target.Timeout = int.TryParse(value, CultureInfo.InvariantCulture, out var seconds)
                    ? seconds
                    : throw new FormatException($"{name}={value} is not a number of seconds");
                break;
            // A hint of one client library to itself about the pooler; ours asks nothing special of one.
            case "pgbouncer":
                break;
            default:
                throw new FormatException($"the parameter {name} is not understood");
        }
    }

    private static T Mode<T>(string name, string value)
        where T : struct, Enum =>
        Enum.TryParse<T>(value.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var mode)
        && !char.IsAsciiDigit(value.FirstOrDefault())
            ? mode
            : throw new FormatException($"{name}={value} is not understood");
}
