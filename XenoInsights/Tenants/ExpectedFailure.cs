namespace XenoInsights.Tenants;

/// <summary>
/// An exception that may stand for a state of the store or of Shopify which is on record and which people are told of.
/// </summary>
public interface IExpectedFailure
{
    /// <summary>
    /// Whether this one does: it is logged without a stack, since there is no fault to look for here.
    /// </summary>
    bool IsExpected { get; }
}

internal static class ExpectedFailure
{
    public static bool IsExpected(this Exception failure) => failure is IExpectedFailure { IsExpected: true };
}
