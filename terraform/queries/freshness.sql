-- Freshness
-- The newest change that each fact shows (by the source's clock), and when the gates passed the batch that brought it.
WITH newest AS (
    SELECT 'sales_order' AS table_name,
           max(concat(CAST(last_updated_date AS varchar), ' ', last_updated_time)) AS last_updated,
           max(batch_id) AS batch_id
      FROM fact_sales_order
    UNION ALL
    SELECT 'purchase_order',
           max(concat(CAST(last_updated_date AS varchar), ' ', last_updated_time)),
           max(batch_id)
      FROM fact_purchase_order
    UNION ALL
    SELECT 'payment',
           max(concat(CAST(last_updated_date AS varchar), ' ', last_updated)),
           max(batch_id)
      FROM fact_payment
)
SELECT n.table_name,
       CAST(n.last_updated AS timestamp(6)) AS last_updated,
       n.batch_id,
       max(q.validated_at) AS validated_at,
       date_diff('minute', max(q.validated_at), CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(6))) AS minutes_ago
  FROM newest n
  LEFT JOIN quality_result q ON q.batch_id = n.batch_id
 GROUP BY n.table_name, n.last_updated, n.batch_id
 ORDER BY n.table_name
