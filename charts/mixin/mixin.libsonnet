// The alerts and the dashboard of the chart as a monitoring mixin (monitoring.mixins.dev), for those who install them by jsonnet.
{
  // archive: whether config.archive is enabled anywhere. One that is nowhere is no archive that is behind.
  _config+:: { archive: false },
  prometheusAlerts+:: {
    groups: std.parseYaml(importstr '../epitaph/files/alerts.yaml').groups
            + if $._config.archive then std.parseYaml(importstr '../epitaph/files/alerts-archive.yaml').groups else [],
  },
  grafanaDashboards+:: { 'epitaph.json': import '../epitaph/files/dashboard.json' },
}
