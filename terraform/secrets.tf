# Empty shells: `make create-production-secret` and `make create-warehouse-secret` put the values, which so are in no
# state file.

resource "aws_secretsmanager_secret" "this" {
  for_each = {
    production = "Where totesys is, and the user that reads it: host, port, user, password, database."
    warehouse  = "Where the warehouse is, and the user that writes it: host, port, user, password, database."
  }

  name                    = local.secrets[each.key]
  description             = each.value
  kms_key_id              = aws_kms_key.this["secrets"].arn
  recovery_window_in_days = var.protect_data ? 30 : 0
}
