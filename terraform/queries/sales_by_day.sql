-- Sales by day
-- Orders, units and turnover by the day on which the orders were placed, each currency by itself.
SELECT o.created_date,
       c.currency_code,
       count(*) AS orders,
       sum(o.units_sold) AS units,
       sum(o.units_sold * o.unit_price) AS turnover
  FROM fact_sales_order_current o
  JOIN dim_currency c ON c.currency_id = o.currency_id
 GROUP BY o.created_date, c.currency_code
 ORDER BY o.created_date DESC, c.currency_code
