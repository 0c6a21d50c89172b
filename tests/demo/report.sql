-- Plio's report, a row for each plio of one organization: docs/reports.md says what the columns mean.
WITH viewing AS (
    SELECT s.id, s.plio_id, s.user_id, s.watch_time,
           -- For each minute how often it was seen; what is no list of numbers (NaN) says nothing.
           CASE WHEN s.retention ~ '^[0-9]+(,[0-9]+)*$' THEN
               EXISTS (SELECT FROM unnest(string_to_array(s.retention, ',')) WITH ORDINALITY AS minute (seen, nth)
                        WHERE nth > 1 AND seen::numeric > 0)
           END AS stayed
    FROM session s
    WHERE s.deleted_at IS NULL
), asked AS (
    SELECT i.plio_id, i.id AS item_id, q.correct_answer,
           q.type IN ('mcq', 'checkbox') AND NOT q.survey AS is_graded
    FROM item i JOIN question q ON q.item_id = i.id
    WHERE i.deleted_at IS NULL AND q.deleted_at IS NULL
), questions AS (
    SELECT plio_id, count(*) AS count FROM asked GROUP BY plio_id
), answered AS (
    SELECT v.id, count(*) AS given, count(*) FILTER (WHERE is_graded) AS graded,
           -- A choice is right when it is the right one, or one of them.
           count(*) FILTER (WHERE is_graded AND correct_answer @> (a.answer -> 'choice')) AS correct
    FROM viewing v
    JOIN session_answer a ON a.session_id = v.id
    JOIN asked q ON q.item_id = a.item_id AND q.plio_id = v.plio_id
    WHERE a.deleted_at IS NULL AND a.answer IS NOT NULL
    GROUP BY v.id
)
SELECT p.uuid, p.name,
       count(DISTINCT v.user_id) AS unique_viewers,
       round(avg(v.watch_time)::numeric, 2) AS average_watch_time,
       round(100 * avg(v.stayed::int), 2) AS one_minute_retention,
       round(100 * sum(coalesce(a.given, 0)) / nullif(sum(q.count), 0), 2) AS completion,
       round(100 * sum(a.correct) / nullif(sum(a.graded), 0), 2) AS accuracy
FROM plio p
JOIN viewing v ON v.plio_id = p.id
LEFT JOIN questions q ON q.plio_id = p.id
LEFT JOIN answered a ON a.id = v.id
WHERE p.deleted_at IS NULL
GROUP BY p.id
