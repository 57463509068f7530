FROM node:22-slim AS node

FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /src
# The web assets; the PostgreSQL among the optional packages is for Development.
COPY package.json package-lock.json ./
RUN npm ci --omit=optional --ignore-scripts --no-audit --no-fund && touch node_modules/.package-lock.json
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig ./
COPY XenoInsights/XenoInsights.csproj XenoInsights/
RUN dotnet restore XenoInsights -p:DevelopmentParts=false
COPY appsettings.json ./
COPY XenoInsights/ XenoInsights/
RUN dotnet publish XenoInsights --configuration Release --no-restore --output /app

FROM mcr.microsoft.com/dotnet/aspnet:10.0
WORKDIR /app
COPY --from=build /app ./
USER $APP_UID
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=6s --start-period=30s CMD ["dotnet", "XenoInsights.dll", "healthcheck"]
ENTRYPOINT ["dotnet", "XenoInsights.dll"]
