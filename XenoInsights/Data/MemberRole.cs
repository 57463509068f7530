using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;
using XenoInsights.Authentication;

namespace XenoInsights.Data;

public enum MemberRole
{
    Viewer = 1,
    Admin = 2,
    Owner = 3,
}
