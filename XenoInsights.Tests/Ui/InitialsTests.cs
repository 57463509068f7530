using XenoInsights.Formatting;

namespace XenoInsights.Tests.Ui;

public sealed class InitialsTests
{
    [Theory]
    [InlineData("harrow", "H")]
    [InlineData(" \u00e9clair", "\u00c9")]
    [InlineData("\ud83d\udecd\ufe0f Bags", "\ud83d\udecd\ufe0f")]
    [InlineData("\ud83d\udc69\u200d\ud83c\udf73 Kitchen", "\ud83d\udc69\u200d\ud83c\udf73")]
    [InlineData("e\u0301toile", "E\u0301")]
    [InlineData("", "")]
    [InlineData(" ", "")]
    public void A_store_is_known_by_its_first_letter_as_people_see_it(string name, string initial) =>
        Assert.Equal(initial, Initials.OfStore(name));

    [Theory]
    [InlineData("Demo owner", "DO")]
    [InlineData("Ann", "A")]
    [InlineData("\ud83d\ude00 Ann Lee", "\ud83d\ude00A")]
    public void A_person_is_known_by_two(string name, string initials) =>
        Assert.Equal(initials, Initials.OfPerson(name));
}
