# Who may touch what. A job that stands in the workflows' JSON and not here is refused at plan.

locals {
  # secrets     which of the two databases' secrets it reads
  # starts      the workflow that it may start, and ask how its runs ended, by its file
  # lease       whether it works under the lake's lease, which it then writes
  # raw_*       objects of the raw bucket that it reads, writes (once: see the bucket's policy) and deletes
  # lake_*      objects below the star's folder that it writes and deletes; every job but detect reads all of them
  # catalog     read: table definitions; write: also new ones and new snapshots, which Iceberg keeps there
  # An Iceberg commit (a new branch, a moved one) writes into the metadata folder and drops what is old there. Data files
  # of an attempt that failed stay, for nobody but maintenance may delete data.
  manifests   = ["batches/*"]
  spark_write = ["raw/*/_temporary/*"] # Spark writes there first; it renames, which on S3 is copy and delete
  commit      = ["*/metadata/*"]

  access = {
    detect = {
      secrets  = ["production", "warehouse"]
      starts   = ["pipeline"]
      lease    = false
      raw_read = concat(local.manifests, ["lake.json"])
      lake     = false
      metrics  = true
    }
    extract = {
      secrets    = ["production"]
      raw_read   = concat(local.manifests, ["raw/*", "verdicts/*"])
      raw_write  = ["raw/*", "batches/*/claim.json", "batches/*/extract.json"]
      raw_delete = local.spark_write
    }
    quality_gate_raw = {
      raw_read    = concat(local.manifests, ["raw/*", "verdicts/*"])
      raw_write   = ["batches/*/quality_raw.json", "batches/*/validation_raw.json", "batches/*/rejected.json", "verdicts/*", "parsed/*"]
      raw_delete  = ["verdicts/*"] # what a run that was cut off left there
      lake_write  = concat(local.commit, ["quality_result/*"])
      lake_delete = local.commit
      catalog     = "write"
      metrics     = true
    }
    transform = {
      raw_read    = concat(local.manifests, ["raw/*", "verdicts/*", "parsed/*"])
      raw_write   = ["batches/*/transform.json"]
      raw_delete  = ["parsed/*"] # once it is through
      lake_write  = ["*"]
      lake_delete = local.commit
      catalog     = "write"
    }
    quality_gate_star = {
      raw_read    = concat(local.manifests, ["raw/*", "verdicts/*"])
      raw_write   = ["batches/*/publish_intent.json", "batches/*/publish.json", "batches/*/validation_star.json", "batches/*/rejected.json"]
      lake_write  = ["*"] # rows too: where compaction moved main, the batch's are written upon it
      lake_delete = local.commit
      catalog     = "write"
      metrics     = true
    }
    load = {
      secrets   = ["warehouse"]
      raw_read  = concat(local.manifests, ["lake.json"])
      raw_write = ["batches/*/load.json", "lake.json"]
      metrics   = true
    }
    reconcile = {
      secrets     = ["production", "warehouse"]
      raw_read    = concat(local.manifests, ["raw/*", "verdicts/*", "certificates/*", "lake.json"])
      raw_write   = ["raw/*", "batches/*/claim.json", "batches/*/extract.json", "certificates/*", "lake.json"]
      raw_delete  = local.spark_write
      lake_write  = local.commit # it makes the tables where there are none yet
      lake_delete = local.commit
      catalog     = "write"
      metrics     = true
    }
    certify = {
      secrets   = ["warehouse"]
      raw_read  = concat(local.manifests, ["verdicts/*", "certificates/*", "lake.json"])
      raw_write = ["certificates/*", "lake.json"]
      metrics   = true
    }
    rebuild = {
      raw_read    = concat(local.manifests, ["raw/*", "verdicts/*"])
      lake_write  = ["*"]
      lake_delete = local.commit
      catalog     = "write"
    }
    maintain = {
      raw_read    = concat(local.manifests, ["raw/*", "verdicts/*"])
      raw_delete  = ["raw/*", "verdicts/*", "parsed/*"] # what no manifest names, and copies that nobody needs
      lake_write  = ["*"]
      lake_delete = ["*"] # files that no snapshot names any more
      catalog     = "write"
    }
  }

  grants = {
    for job in keys(local.jobs) : job => merge(
      { secrets = [], starts = [], lease = true, raw_read = [], raw_write = [], raw_delete = [], lake = true, lake_write = [], lake_delete = [], catalog = "read", metrics = false },
      lookup(local.access, job, {}),
    )
  }

  # Jobs that open a database are in its network. The others need none.
  database_jobs = toset([for job, granted in local.grants : job if length(granted.secrets) > 0])
}
