# What the workflows stand on: buckets, network, alarms, queries.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment = "test"
  package     = "tests/package/package.json"
}

run "buckets" {
  command = plan

  assert {
    condition     = toset(keys(aws_s3_bucket.this)) == toset(["raw", "lake", "artifacts", "results"])
    error_message = "There are four buckets."
  }

  assert {
    condition = alltrue([
      for bucket in keys(aws_s3_bucket.this) : alltrue([
        aws_s3_bucket_public_access_block.this[bucket].block_public_acls,
        aws_s3_bucket_public_access_block.this[bucket].block_public_policy,
        aws_s3_bucket_public_access_block.this[bucket].ignore_public_acls,
        aws_s3_bucket_public_access_block.this[bucket].restrict_public_buckets,
        one(aws_s3_bucket_ownership_controls.this[bucket].rule).object_ownership == "BucketOwnerEnforced",
      ])
    ])
    error_message = "No bucket is public, by policy or by ACL."
  }

  assert {
    condition = alltrue([
      for bucket in keys(aws_s3_bucket.this) :
      one(one(aws_s3_bucket_server_side_encryption_configuration.this[bucket].rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    ])
    error_message = "Each bucket is encrypted with our key."
  }

  assert {
    condition = alltrue([
      for name, bucket in aws_s3_bucket_policy.this : contains(
        [for statement in jsondecode(bucket.policy).Statement : [statement.Effect, statement.Action, try(statement.Condition.Bool["aws:SecureTransport"], "")]],
        ["Deny", "s3:*", "false"],
      )
    ])
    error_message = "No bucket answers without TLS."
  }

  assert {
    condition     = alltrue([for bucket in ["raw", "artifacts"] : aws_s3_bucket_versioning.this[bucket].versioning_configuration[0].status == "Enabled"])
    error_message = "What cannot be made again is versioned."
  }

  assert {
    condition = [
      for rule in aws_s3_bucket_lifecycle_configuration.raw.rule : rule.expiration[0].expired_object_delete_marker if length(rule.expiration) > 0
    ] == [true] # S3 takes no days beside it
    error_message = "Nothing in the raw zone expires: it is the only full copy."
  }

  assert {
    condition = alltrue([
      for rules in [
        aws_s3_bucket_lifecycle_configuration.raw.rule, aws_s3_bucket_lifecycle_configuration.lake.rule,
        aws_s3_bucket_lifecycle_configuration.artifacts.rule, aws_s3_bucket_lifecycle_configuration.results.rule,
      ] : anytrue([for rule in rules : length(rule.abort_incomplete_multipart_upload) == 1 && rule.status == "Enabled"])
    ])
    error_message = "Uploads that were broken off go away in every bucket."
  }

  assert {
    condition = toset([
      for transition in [for rule in aws_s3_bucket_lifecycle_configuration.raw.rule : rule if rule.id == "rows-get-cold"][0].transition : transition.storage_class
    ]) == toset(["GLACIER_IR", "STANDARD_IA"])
    error_message = "Old rows go to classes that a rebuild reads at once."
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy == false])
    error_message = "terraform destroy does not empty buckets."
  }
}

run "a_throw_away_environment" {
  command = plan

  variables {
    protect_data = false
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy]) && alltrue([for secret in aws_secretsmanager_secret.this : secret.recovery_window_in_days == 0])
    error_message = "It goes away whole."
  }
}

run "alarms" {
  command = plan

  variables {
    alarm_emails         = ["data@example.org"]
    fresh_within_minutes = 60
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.freshness.treat_missing_data == "breaching"
      && {
        for query in aws_cloudwatch_metric_alarm.freshness.metric_query :
        query.id => query.expression == null ? "${one(query.metric).stat} of ${one(query.metric).namespace}, ${one(query.metric).period} s" : query.expression
      } == { fresh = "FILL(IF(behind <= 3600, 1, 0), 0)", behind = "Minimum of retail-etl-test, 300 s" }
      && 300 * aws_cloudwatch_metric_alarm.freshness.evaluation_periods == 3600
      && aws_cloudwatch_metric_alarm.freshness.datapoints_to_alarm == aws_cloudwatch_metric_alarm.freshness.evaluation_periods
    )
    error_message = "An hour without word that it is fresh is the alarm, and one such word ends it."
  }

  assert {
    condition = alltrue([
      for alarm in concat(
        [
          aws_cloudwatch_metric_alarm.freshness, aws_cloudwatch_metric_alarm.reconcile_differences,
          aws_cloudwatch_metric_alarm.reconcile_missing, aws_cloudwatch_metric_alarm.quarantine_growth,
          aws_cloudwatch_metric_alarm.workflow_failed,
        ],
        values(aws_cloudwatch_metric_alarm.job), values(aws_cloudwatch_metric_alarm.quarantine),
      ) : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && coalesce(alarm.namespace, "retail-etl-test") == "retail-etl-test"
    ])
    error_message = "Each alarm tells the topic, and looks at our metrics."
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.job)) == toset(flatten([for job in local.spark_jobs : ["errors-${job}", "warnings-${job}"]]))
    error_message = "Errors and warnings of each Spark job are told."
  }

  assert {
    condition     = aws_cloudwatch_log_metric_filter.job["errors-load"].pattern == "\" ERROR retail_etl\"" && aws_cloudwatch_log_metric_filter.job["errors-load"].log_group_name == "/retail-etl-test/load/output"
    error_message = "Our own lines are counted, where Glue writes what a script says."
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.quarantine)) == toset(keys(local.raw_tables))
    error_message = "Each source table's quarantine is watched."
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.job_failed.event_pattern).detail == {
      jobName = [for name in keys(aws_glue_job.this) : "retail-etl-test-${name}"]
      state   = ["FAILED", "TIMEOUT", "ERROR"]
    }
    error_message = "Every job's failure is told."
  }

  assert {
    condition     = aws_sns_topic_subscription.mail["data@example.org"].protocol == "email"
    error_message = "Somebody is told."
  }

  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.job : group.retention_in_days == 90 && group.kms_key_id != null])
    error_message = "Logs are encrypted, and not kept for ever."
  }
}

run "without_a_vpc" {
  command = plan

  assert {
    condition     = length(aws_glue_connection.databases) + length(aws_vpc_endpoint.services) + length(aws_security_group.jobs) == 0
    error_message = "Nothing is made in a VPC that nobody named."
  }
}

run "in_a_vpc" {
  command = plan

  variables {
    vpc_id                      = "vpc-0a"
    subnet_id                   = "subnet-0a"
    availability_zone           = "eu-west-2a"
    database_security_group_ids = ["sg-0a"]
    route_table_ids             = ["rtb-0a"]
  }

  assert {
    condition     = aws_glue_connection.databases[0].connection_type == "NETWORK" && aws_glue_connection.databases[0].physical_connection_requirements[0].subnet_id == "subnet-0a"
    error_message = "The connection leads into the subnet."
  }

  assert {
    condition     = toset([for name, job in aws_glue_job.this : name if length(job.connections) == 1]) == local.database_jobs
    error_message = "The jobs that open a database are in its network, and no others."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.workers[0].ip_protocol == "-1" && aws_vpc_security_group_ingress_rule.workers[0].cidr_ipv4 == null
    error_message = "Workers of a job talk to one another, and nobody else to them."
  }

  assert {
    condition     = toset(keys(aws_vpc_endpoint.services)) == toset(["secretsmanager", "glue", "logs", "monitoring"]) && aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway"
    error_message = "A job needs no way to the internet."
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.services) == 0
    error_message = "And it has none."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.databases["sg-0a"].from_port == 5432
    error_message = "The database lets the jobs in."
  }
}

run "in_a_vpc_that_has_its_endpoints" {
  command = plan

  variables {
    vpc_id               = "vpc-0a"
    subnet_id            = "subnet-0a"
    availability_zone    = "eu-west-2a"
    s3_gateway_endpoint  = false
    interface_endpoints  = []
    service_cidr_blocks  = ["10.0.0.0/16"]
    database_cidr_blocks = ["10.0.9.0/24"]
  }

  assert {
    condition     = length(aws_vpc_endpoint.services) + length(aws_vpc_endpoint.s3) + length(aws_security_group.endpoints) == 0
    error_message = "Each endpoint can be left out."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.services["10.0.0.0/16"].from_port == 443 && aws_vpc_security_group_egress_rule.other_databases["10.0.9.0/24"].from_port == 5432
    error_message = "Jobs reach what is there, and the databases."
  }
}

run "catalog_and_athena" {
  command = plan

  assert {
    condition     = aws_glue_catalog_database.star.location_uri == "s3://retail-etl-test-lake-123456789012/star"
    error_message = "The star lies in the lake's bucket."
  }

  assert {
    condition = alltrue([
      for name, table in aws_glue_catalog_table.raw :
      table.parameters["projection.enabled"] == "true"
      && table.parameters["storage.location.template"] == "s3://retail-etl-test-raw-123456789012/raw/${name}/batch_id=$${batch_id}/"
      && table.partition_keys[0].name == "batch_id"
    ])
    error_message = "Athena finds each batch's folder by itself."
  }

  assert {
    condition = (
      aws_athena_workgroup.this.configuration[0].enforce_workgroup_configuration
      && aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 10737418240
      && aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration[0].encryption_option == "SSE_KMS"
    )
    error_message = "Nobody's query scans more than the limit, and results are encrypted, whatever a client asks for."
  }

  assert {
    condition     = length(aws_athena_named_query.this) == length(fileset(path.module, "queries/*.sql")) && length(aws_quicksight_data_source.athena) == 0
    error_message = "Each file is a named query; QuickSight is made where somebody asks for it."
  }
}

run "quicksight" {
  command = plan

  variables {
    enable_quicksight    = true
    quicksight_principal = "arn:aws:quicksight:eu-west-2:123456789012:user/default/analyst"
  }

  assert {
    condition = (
      aws_quicksight_data_source.athena["this"].type == "ATHENA"
      && toset(keys(aws_quicksight_data_set.this)) == toset(["sales", "quality"])
      && length(aws_quicksight_dashboard.this["this"].definition[0].sheets) == 2
    )
    error_message = "A data source on the workgroup, two data sets, one dashboard of two sheets."
  }

  assert {
    condition = alltrue([
      for name, data_set in aws_quicksight_data_set.this : alltrue([
        for column in one(one(data_set.physical_table_map).custom_sql).columns : strcontains(one(one(data_set.physical_table_map).custom_sql).sql_query, column.name)
      ])
    ])
    error_message = "The data sets' columns are those of their queries."
  }

  assert {
    condition = (
      strcontains(one(one(aws_quicksight_data_set.this["sales"].physical_table_map).custom_sql).sql_query, " FROM star.fact_sales_order_current o\n  JOIN star.dim_currency c ")
      && strcontains(one(one(aws_quicksight_data_set.this["quality"].physical_table_map).custom_sql).sql_query, "(SELECT max(batch_id) FROM star.quality_result)")
      && startswith(one(one(aws_quicksight_data_set.this["quality"].physical_table_map).custom_sql).sql_query, "SELECT")
    )
    error_message = "QuickSight is told in which database the tables are."
  }
}
