using XenoInsights.Sync;

namespace XenoInsights.Tests.Sync;

/// <summary>No type of sync job can keep the others from beginning.</summary>
public sealed class SyncSlotsTests
{
    [Theory]
    [InlineData(SyncJobType.Delta)]
    [InlineData(SyncJobType.Rehydrate)]
    [InlineData(SyncJobType.Reconcile)]
    public void A_flood_of_one_type_leaves_a_slot_for_each_other(SyncJobType flood)
    {
        var slots = new SyncSlots(8);
        var begun = Take(slots, flood, 10_000);

        // One of eight is kept for each of the four other types.
        Assert.Equal(4, begun);
        foreach (var other in Enum.GetValues<SyncJobType>().Where(type => type != flood))
            Assert.True(slots.TryTake(Guid.NewGuid(), other, isFirstImport: false), $"{other} found no slot.");
        Assert.Equal(0, slots.Free().Values.Sum());
    }

    [Fact]
    public void Repeated_imports_leave_a_slot_for_a_first_import()
    {
        var slots = new SyncSlots(8);

        Assert.Equal(1, Take(slots, SyncJobType.Full, 100));
        Assert.True(slots.TryTake(Guid.NewGuid(), SyncJobType.Full, isFirstImport: true));
        Assert.False(slots.TryTake(Guid.NewGuid(), SyncJobType.Full, isFirstImport: true));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void With_fewer_slots_than_types_all_of_them_are_used(int parallel)
    {
        var slots = new SyncSlots(parallel);

        Assert.Equal(parallel, Take(slots, SyncJobType.Delta, 100));
        Assert.False(slots.TryTake(Guid.NewGuid(), SyncJobType.Full, isFirstImport: true));
    }

    [Fact]
    public void A_slot_given_back_can_be_taken_again_and_no_job_takes_two()
    {
        var slots = new SyncSlots(1);
        var job = Guid.NewGuid();

        Assert.True(slots.TryTake(job, SyncJobType.Delta, isFirstImport: false));
        Assert.False(slots.TryTake(job, SyncJobType.Delta, isFirstImport: false));
        slots.Release(job);
        Assert.True(slots.TryTake(job, SyncJobType.Delta, isFirstImport: false));
    }

    private static int Take(SyncSlots slots, SyncJobType type, int jobs) =>
        Enumerable.Range(0, jobs).Count(_ => slots.TryTake(Guid.NewGuid(), type, isFirstImport: false));
}
