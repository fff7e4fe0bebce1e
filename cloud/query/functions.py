"""Every function that the query door lets through; what is not here is refused."""

from __future__ import annotations

OPERATORS = frozenset(
    "+ - * / // % ** ^ || & | << >> ~ ! @ = == <> != < <= > >= ~~ !~~ ~~* !~~* ~~~ ^@".split()
)

AGGREGATES = frozenset(
    """
    any_value approx_count_distinct approx_quantile arg_max arg_min array_agg avg bool_and bool_or
    corr count count_if count_star covar_pop covar_samp first histogram kurtosis last list lttb
    mad max max_by mean median min min_by mode product quantile quantile_cont quantile_disc regr_avgx regr_avgy
    regr_count regr_intercept regr_r2 regr_slope skewness stddev stddev_pop stddev_samp string_agg sum var_pop
    var_samp variance
    """.split()
)

WINDOWS = frozenset(
    "row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value fill".split()
)

SCALARS = frozenset(
    """
    abs acos asin atan atan2 cbrt ceil ceiling concat concat_ws contains cos cot date_bin date_diff date_part
    date_sub date_trunc datediff datepart datetrunc day dayname dayofmonth dayofweek dayofyear degrees ends_with epoch
    epoch_ms epoch_ns epoch_us exp floor fmod gcd greatest hour if isfinite isinf isnan isodow isoyear
    last_day lcase lcm least left len length list_value ln log log10 log2 lower ltrim make_date make_timestamp
    make_timestamp_ns md5 microsecond millisecond minute mod month monthname nanosecond now nullif pi pow power
    quarter radians regexp_extract regexp_full_match regexp_matches reverse right round
    row rtrim second sign sin split_part sqrt starts_with strftime strlen strpos strptime substr substring tan
    time_bucket today to_timestamp translate trim trunc try_strptime typeof ucase upper week weekday weekofyear year
    struct_pack list_extract struct_extract array_extract unnest to_days to_hours to_minutes to_seconds
    to_milliseconds to_microseconds to_months to_weeks to_years date_add
    like_escape not_like_escape ilike_escape not_ilike_escape
    """.split()
)

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})

ALLOWED = OPERATORS | AGGREGATES | SCALARS
