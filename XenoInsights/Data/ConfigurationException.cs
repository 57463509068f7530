namespace XenoInsights.Data;

/// <summary>Configured values that are missing or cannot be used; the message names their keys.</summary>
public sealed class ConfigurationException(string message, Exception? inner = null)
    : InvalidOperationException(message, inner);
