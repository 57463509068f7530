using XenoInsights.Development;

namespace XenoInsights;

internal static partial class DevelopmentParts
{
    static partial void Include(ref IDevelopmentParts? parts) => parts = new IncludedParts();
}
