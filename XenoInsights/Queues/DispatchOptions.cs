using System.ComponentModel.DataAnnotations;
using XenoInsights.Data;

namespace XenoInsights.Queues;

/// <summary>Section <c>Webhooks</c>: how much of the queued work of stores one process does at once.</summary>
public sealed class DispatchOptions
{
    public const string Section = "Webhooks";

    /// <summary>For how many stores one process applies events at once, and for how many it refetches objects.</summary>
    [Range(1, 100, ErrorMessage = CheckedOptions.Range)]
    public int Parallel { get; set; } = 8;
}
