# The workflows, as glue_jobs/*.json describe them: the same files that run on a laptop. A new file is a new workflow.

locals {
  workflow_files = {
    for file in fileset("${path.module}/${var.jobs_folder}", "*.json") : trimsuffix(file, ".json") => "${path.module}/${var.jobs_folder}/${file}"
  }

  declared = { for name, file in local.workflow_files : name => jsondecode(file(file)) }

  # An included file's variables count too. Later ones win: the file's own, what is deployed here, then job_variables.
  workflow_variables = {
    for name, workflow in local.declared : name => merge(
      try(local.declared[trimsuffix(workflow.include, ".json")].variables, {}),
      workflow.variables,
      {
        lake              = "s3://${local.buckets.raw}"
        lake_database     = var.lake_database
        metrics_namespace = local.name
        source_secret     = local.secrets.production
        warehouse_secret  = local.secrets.warehouse
        workflow          = local.workflow_names[name]
      },
      var.job_variables,
    )
  }

  # Inside of a JSON string: a value with a quote or a backslash in it stays one.
  workflows = {
    for name, file in local.workflow_files : name => jsondecode(templatefile(file, {
      for variable, value in local.workflow_variables[name] :
      variable => substr(jsonencode(value), 1, length(jsonencode(value)) - 2)
    }))
  }

  # Several workflows use a job; each is defined in one file, so it is made once.
  jobs = merge([
    for name, workflow in local.workflows : {
      for job, definition in workflow.jobs : job => merge({ type = "spark", glue_version = try(workflow.glue_version, local.glue_version) }, definition)
    }
  ]...)

  workflows_of = {
    for job in keys(local.jobs) : job => length([
      for workflow in values(local.workflows) : workflow if contains(flatten(workflow.triggers[*].jobs), job)
    ])
  }

  glue_version = local.declared.pipeline.glue_version
  spark_jobs   = toset([for name, job in local.jobs : name if job.type == "spark"])

  triggers = merge([
    for name, workflow in local.workflows : {
      for trigger in workflow.triggers : "${name}/${trigger.name}" => merge({ when = [], in_workflow = true }, trigger, {
        workflow                                                                   = name
        schedule                                                                   = trigger.type == "SCHEDULED" ? lookup(var.schedules, workflow.name, workflow.schedule) : null
      })
    }
  ]...)
}

locals {
  # pipeline.json's name is the project's: retail-etl, retail-etl-reconcile …
  workflow_names = { for name, workflow in local.declared : name => "${workflow.name}-${var.environment}" }

  variable_names = toset(flatten([for variables in values(local.declared)[*].variables : keys(variables)]))
}

resource "aws_glue_workflow" "this" {
  for_each = local.workflows

  name                = local.workflow_names[each.key]
  description         = each.value.description
  max_concurrent_runs = 1

  lifecycle {
    precondition {
      condition     = length(setsubtract(keys(var.job_variables), local.variable_names)) == 0
      error_message = "job_variables: no workflow has ${join(", ", setsubtract(keys(var.job_variables), local.variable_names))}; there are ${join(", ", local.variable_names)}."
    }
    precondition {
      condition     = length(setsubtract(keys(var.schedules), values(local.workflows)[*].name)) == 0
      error_message = "schedules: no such workflow as ${join(", ", setsubtract(keys(var.schedules), values(local.workflows)[*].name))}; there are ${join(", ", values(local.workflows)[*].name)}."
    }
  }
}

resource "aws_glue_trigger" "this" {
  for_each = local.triggers

  name          = "${local.workflow_names[each.value.workflow]}-${each.value.name}"
  type          = each.value.type
  workflow_name = each.value.in_workflow ? aws_glue_workflow.this[each.value.workflow].name : null
  schedule      = each.value.schedule

  # The provider starts an ON_DEMAND trigger as soon as it is enabled: terraform apply would rebuild the lake.
  enabled           = each.value.type == "SCHEDULED" ? var.schedules_enabled : each.value.type == "CONDITIONAL"
  start_on_creation = each.value.type == "ON_DEMAND" ? false : null

  dynamic "predicate" {
    for_each = length(each.value.when) > 0 ? [each.value.when] : []
    content {
      logical = "AND"
      dynamic "conditions" {
        for_each = predicate.value
        content {
          job_name         = aws_glue_job.this[conditions.value.job].name
          state            = conditions.value.state
          logical_operator = "EQUALS"
        }
      }
    }
  }

  dynamic "actions" {
    for_each = each.value.jobs
    content {
      job_name = aws_glue_job.this[actions.value].name
    }
  }
}
