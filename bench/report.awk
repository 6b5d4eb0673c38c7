# report.awk -- medians and ratios of what was measured
#
# usage: awk -v out=DIRECTORY -f report.awk -f picture.awk metrics.txt \
#            results.txt
#
# Prints one block for each metric, fastest first: the ratio to ours and to the
# fastest malloc, and what two workers do in the time of one. Writes table.md,
# which has all medians, and one SVG for each picture named in metrics.txt.

function median(text,    value, n, i, j, v)
{
    n = split(text, value, " ")
    for (i = 2; i <= n; i++) {
        v = value[i] + 0
        for (j = i - 1; j >= 1 && value[j] + 0 > v; j--)
            value[j + 1] = value[j]
        value[j + 1] = v
    }
    low = value[1] + 0
    high = value[n] + 0
    count = n
    if (n % 2)
        return value[(n + 1) / 2] + 0
    return (value[n / 2] + value[n / 2 + 1]) / 2
}

function figure(v)
{
    return sprintf(v < 10 ? "%.2f" : v < 100 ? "%.1f" : "%.0f", v)
}

function ratio(v, to)
{
    return to > 0 ? sprintf("%.2f", v / to) : "-"
}

# The peers of metric m, fastest first, into order[1..n].
function sort_peers(m,    n, i, j, p)
{
    n = 0
    for (i = 1; i <= peers; i++)
        if ((peer[i], m) in samples) {
            p = peer[i]
            for (j = n; j >= 1 && middle[order[j], m] > middle[p, m]; j--)
                order[j + 1] = order[j]
            order[j + 1] = p
            n++
        }
    return n
}

# The median of the fastest malloc.
function best_malloc(m,    n, i, name, best)
{
    best = 0
    n = split("glibc jemalloc mimalloc tcmalloc", name, " ")
    for (i = 1; i <= n; i++)
        if ((name[i], m) in samples && (!best || middle[name[i], m] < best))
            best = middle[name[i], m]
    return best
}

# How much more two workers of peer p do than one.
function speedup(p, m,    one)
{
    one = m
    if (unit[m] != "ns" || !sub(/_2p?$/, "", one) || !((p, one) in samples))
        return "-"
    return ratio(2 * middle[p, one], middle[p, m])
}

function print_metric(m,    n, i, p, us, best)
{
    n = sort_peers(m)
    if (n == 0)
        return
    us = (ours[m], m) in samples ? middle[ours[m], m] : 0
    best = best_malloc(m)
    printf "%s: %s, %s (%s)\n", m, what[m], series[m], unit[m]
    printf "  %-16s %9s %9s %9s %9s   %s\n", "", "median", "to alps", \
        "to malloc", "speedup", "lowest..highest (runs)"
    for (i = 1; i <= n; i++) {
        p = order[i]
        printf "  %-16s %9s %9s %9s %9s   %s..%s (%d)\n", p, \
            figure(middle[p, m]), ratio(middle[p, m], us), \
            ratio(middle[p, m], best), speedup(p, m), \
            figure(least[p, m]), figure(most[p, m]), runs[p, m]
    }
    printf "\n"
}

# One row of a table. Where other peers have figures than for the row before,
# or in another series, a new table begins.
function write_row(m, name, corner, file,    i, p, head, row)
{
    head = "| " (corner ? corner " " : "") "|"
    row = "| " name ", " unit[m] " |"
    for (i = 1; i <= peers; i++) {
        p = peer[i]
        if ((p, m) in samples) {
            head = head " " p " |"
            row = row " " figure(middle[p, m]) " |"
        }
    }
    if (row !~ /\| [0-9.]+ \|$/)
        return
    if (head != above) {
        print (above ? "\n" : "") head > file
        above = head
        gsub(/[^|]+/, "--:", head)
        sub(/--:/, "---", head)
        print head > file
    }
    print row > file
}

function write_tables(file,    i, j, m, way)
{
    split("1 thread;2 threads;2 processes", way, ";")
    for (i = 1; i <= 3; i++)
        for (j = 1; j <= metrics; j++) {
            m = metric[j]
            if (series[m] == way[i])
                write_row(m, what[m], way[i], file)
        }
    for (j = 1; j <= metrics; j++) {
        m = metric[j]
        if (series[m] !~ /^[12] (thread|process)/)
            write_row(m, what[m] ", " series[m], "", file)
    }
    close(file)
}

function add_metric(m, name)
{
    metric[++metrics] = m
    drawn_in[m] = field[2]
    series[m] = name
    unit[m] = field[4]
    ours[m] = field[5]
    what[m] = field[6]
}

FNR == NR {
    if (/^#/ || split($0, field, "|") != 6)
        next
    if (field[3] == "*") {
        add_metric(field[1], "1 thread")
        add_metric(field[1] "_2", "2 threads")
        add_metric(field[1] "_2p", "2 processes")
    } else
        add_metric(field[1], field[3])
    if (!(field[2] in seen)) {
        seen[field[2]] = 1
        picture[++pictures] = field[2]
    }
    next
}

{
    if (!($1 in known)) {
        known[$1] = 1
        peer[++peers] = $1
    }
    samples[$1, $2] = samples[$1, $2] " " $3
}

END {
    for (i = 1; i <= peers; i++)
        for (j = 1; j <= metrics; j++)
            if ((peer[i], metric[j]) in samples) {
                p = peer[i]
                m = metric[j]
                middle[p, m] = median(samples[p, m])
                least[p, m] = low
                most[p, m] = high
                runs[p, m] = count
            }
    for (j = 1; j <= metrics; j++)
        print_metric(metric[j])
    write_tables(out "/table.md")
    for (j = 1; j <= pictures; j++)
        draw(picture[j], out "/" picture[j] ".svg")
}
