namespace XenoInsights.Insights.Overview;

/// <summary>A product or customer in a list of the largest. The amount is in minor units.</summary>
public sealed record RankingRow(long Id, string Name, long Count, long Amount);
