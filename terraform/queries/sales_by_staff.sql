-- Sales by member of staff
-- Orders and turnover of each member of staff, with the department as it is now, each currency by itself.
SELECT s.staff_id,
       s.first_name,
       s.last_name,
       s.department_name,
       c.currency_code,
       count(*) AS orders,
       sum(o.units_sold * o.unit_price) AS turnover
  FROM fact_sales_order_current o
  JOIN dim_staff s ON s.staff_id = o.sales_staff_id
  JOIN dim_currency c ON c.currency_id = o.currency_id
 GROUP BY s.staff_id, s.first_name, s.last_name, s.department_name, c.currency_code
 ORDER BY c.currency_code, turnover DESC, s.staff_id
