-- Batches
-- What each batch was found to be, and brought: expectations, versions of facts, rows set aside, rows found deleted.
WITH judged AS (
    SELECT batch_id,
           max(validated_at) AS validated_at,
           count(*) AS expectations,
           count_if(NOT success) AS not_met,
           count_if(NOT success AND severity = 'critical') AS critical_not_met
      FROM quality_result
     GROUP BY batch_id
),
versions AS (
    SELECT batch_id, count(*) AS fact_versions
      FROM (
          SELECT batch_id FROM fact_sales_order
          UNION ALL
          SELECT batch_id FROM fact_purchase_order
          UNION ALL
          SELECT batch_id FROM fact_payment
      )
     GROUP BY batch_id
),
held AS (
    SELECT batch_id, count_if(is_held) AS set_aside FROM quarantine GROUP BY batch_id
),
gone AS (
    SELECT batch_id, count_if(is_deleted) AS found_deleted FROM deleted_record GROUP BY batch_id
)
SELECT j.batch_id,
       j.validated_at,
       j.expectations,
       j.not_met,
       j.critical_not_met,
       coalesce(v.fact_versions, 0) AS fact_versions,
       coalesce(h.set_aside, 0) AS set_aside,
       coalesce(g.found_deleted, 0) AS found_deleted
  FROM judged j
  LEFT JOIN versions v ON v.batch_id = j.batch_id
  LEFT JOIN held h ON h.batch_id = j.batch_id
  LEFT JOIN gone g ON g.batch_id = j.batch_id
 ORDER BY j.batch_id DESC
