using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace XenoInsights.Data;

public enum MemberRole
{
    Viewer = 1,
    Admin = 2,
    Owner = 3,
}
