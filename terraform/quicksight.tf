# Sales and quality for people who write no SQL, on the star through Athena. Each look reads the lake as it is: nothing
# is imported. QuickSight's own role needs the workgroup, both buckets and the data key; its console grants them.

locals {
  quicksight = var.enable_quicksight ? { this = local.name } : {}

  datasets = {
    for name, dataset in {
      sales = {
        title   = "Sales by day"
        query   = "sales_by_day"
        columns = { created_date = "DATETIME", currency_code = "STRING", orders = "INTEGER", units = "INTEGER", turnover = "DECIMAL" }
      }
      quality = {
        title = "Quality of the last batch"
        query = "quality_last_batch"
        columns = {
          batch_id        = "INTEGER", layer = "STRING", table_name = "STRING", expectations = "INTEGER", critical_not_met = "INTEGER",
          warning_not_met = "INTEGER", info_not_met = "INTEGER", validated_at = "DATETIME"
        }
      }
    } : name => dataset if var.enable_quicksight
  }

  # QuickSight gives Athena no database: tables are named with theirs. It puts the query into one of its own, where the
  # comments have nothing to say.
  dataset_sql = {
    for name, dataset in local.datasets : name => replace(
      replace(local.queries[dataset.query].sql, "/(?m)^--.*\n/", ""),
      "/\\b(FROM|JOIN) ([a-z])/", "$1 ${var.lake_database}.$2"
    )
  }

  quicksight_reads = [
    "quicksight:DescribeDataSet", "quicksight:DescribeDataSetPermissions", "quicksight:DescribeIngestion",
    "quicksight:ListIngestions", "quicksight:PassDataSet",
  ]
}

resource "aws_quicksight_data_source" "athena" {
  for_each = local.quicksight

  data_source_id = each.value
  name           = each.value
  type           = "ATHENA"

  parameters {
    athena {
      work_group = aws_athena_workgroup.this.name
    }
  }

  ssl_properties {
    disable_ssl = false
  }

  permission {
    principal = var.quicksight_principal
    actions = [
      "quicksight:DescribeDataSource", "quicksight:DescribeDataSourcePermissions", "quicksight:PassDataSource",
      "quicksight:UpdateDataSource", "quicksight:UpdateDataSourcePermissions", "quicksight:DeleteDataSource",
    ]
  }
}

resource "aws_quicksight_data_set" "this" {
  for_each = local.datasets

  data_set_id = "${local.name}-${each.key}"
  name        = each.value.title
  import_mode = "DIRECT_QUERY"

  physical_table_map {
    physical_table_map_id = each.key

    custom_sql {
      data_source_arn = aws_quicksight_data_source.athena["this"].arn
      name            = each.key
      sql_query       = local.dataset_sql[each.key]

      dynamic "columns" {
        for_each = each.value.columns
        content {
          name = columns.key
          type = columns.value
        }
      }
    }
  }

  permissions {
    principal = var.quicksight_principal
    actions   = local.quicksight_reads
  }
}

resource "aws_quicksight_dashboard" "this" {
  for_each = local.quicksight

  dashboard_id        = each.value
  name                = each.value
  version_description = "Sales by day, and what the gates found of the last batch."

  definition {
    dynamic "data_set_identifiers_declarations" {
      for_each = aws_quicksight_data_set.this
      content {
        identifier   = data_set_identifiers_declarations.key
        data_set_arn = data_set_identifiers_declarations.value.arn
      }
    }

    sheets {
      sheet_id = "sales"
      name     = "Sales"

      visuals {
        line_chart_visual {
          visual_id = "turnover"
          title {
            format_text {
              plain_text = "Turnover by day and currency"
            }
          }
          chart_configuration {
            field_wells {
              line_chart_aggregated_field_wells {
                category {
                  date_dimension_field {
                    field_id         = "day"
                    date_granularity = "DAY"
                    column {
                      data_set_identifier = "sales"
                      column_name         = "created_date"
                    }
                  }
                }
                values {
                  numerical_measure_field {
                    field_id = "turnover"
                    column {
                      data_set_identifier = "sales"
                      column_name         = "turnover"
                    }
                    aggregation_function {
                      simple_numerical_aggregation = "SUM"
                    }
                  }
                }
                colors {
                  categorical_dimension_field {
                    field_id = "currency"
                    column {
                      data_set_identifier = "sales"
                      column_name         = "currency_code"
                    }
                  }
                }
              }
            }
          }
        }
      }
    }

    sheets {
      sheet_id = "quality"
      name     = "Quality"

      visuals {
        bar_chart_visual {
          visual_id = "not-met"
          title {
            format_text {
              plain_text = "Expectations of the last batch that did not hold, by table"
            }
          }
          chart_configuration {
            field_wells {
              bar_chart_aggregated_field_wells {
                category {
                  categorical_dimension_field {
                    field_id = "table"
                    column {
                      data_set_identifier = "quality"
                      column_name         = "table_name"
                    }
                  }
                }
                dynamic "values" {
                  for_each = ["critical_not_met", "warning_not_met", "info_not_met"]
                  content {
                    numerical_measure_field {
                      field_id = values.value
                      column {
                        data_set_identifier = "quality"
                        column_name         = values.value
                      }
                      aggregation_function {
                        simple_numerical_aggregation = "SUM"
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  permissions {
    principal = var.quicksight_principal
    actions = [
      "quicksight:DescribeDashboard", "quicksight:ListDashboardVersions", "quicksight:QueryDashboard",
      "quicksight:UpdateDashboard", "quicksight:UpdateDashboardPermissions", "quicksight:UpdateDashboardPublishedVersion",
      "quicksight:DescribeDashboardPermissions", "quicksight:DeleteDashboard",
    ]
  }
}
