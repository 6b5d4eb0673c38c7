# report.awk -- medians, ratios and pictures of what was measured
#
# usage: awk -v svg=DIRECTORY -f report.awk metrics.txt results.txt
#
# Prints one block for each metric, fastest first, and writes one SVG for each
# picture named in metrics.txt. A bar that would be more than eight times ours
# is cut off, so that the short ones can still be compared; its figure is not.

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

function print_metric(m,    n, i, p, us, glibc)
{
    n = sort_peers(m)
    if (n == 0)
        return
    us = middle[ours[m], m]
    glibc = middle["glibc", m]
    printf "%s: %s (%s)\n", m, what[m], unit[m]
    printf "  %-16s %9s %9s %9s   %s\n", "", "median", "to alps", \
        "to glibc", "lowest..highest (runs)"
    for (i = 1; i <= n; i++) {
        p = order[i]
        printf "  %-16s %9s %9s %9s   %s..%s (%d)\n", p, \
            figure(middle[p, m]), ratio(middle[p, m], us), \
            ratio(middle[p, m], glibc), figure(least[p, m]), \
            figure(most[p, m]), runs[p, m]
    }
    printf "\n"
}

function text(x, y, class, s)
{
    gsub(/&/, "\\&amp;", s)
    gsub(/</, "\\&lt;", s)
    return sprintf("<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", \
        x, y, class, s)
}

# One bar of metric m, whose longest is `scale`.
function bar(m, p, y, scale,    v, cut, width, class)
{
    v = middle[p, m]
    cut = v > scale
    width = cut ? 400 : 400 * v / scale
    if (width < 1)
        width = 1
    class = p ~ /^alps/ ? "us" : "peer"
    body = body text(122, y + 12, "name " class "name", p)
    body = body sprintf("<rect x=\"130\" y=\"%d\" width=\"%.1f\"" \
        " height=\"14\" rx=\"2\" class=\"%s\"/>\n", y + 1, width, class)
    if (cut)
        body = body sprintf("<path d=\"M%d %d l-5 16 h5 l5 -16 z\"" \
            " class=\"cut\"/>\n", 130 + width - 18, y)
    body = body text(136 + width, y + 12, "value", figure(v) " " unit[m])
}

function draw(picture,    i, j, m, n, us, scale, y, file)
{
    body = ""
    y = 10
    for (i = 1; i <= metrics; i++) {
        m = metric[i]
        if (drawn_in[m] != picture || (n = sort_peers(m)) == 0)
            continue
        us = middle[ours[m], m]
        scale = middle[order[n], m]
        if (us > 0 && scale > 8 * us)
            scale = 8 * us
        if (scale <= 0)
            continue
        body = body text(10, y + 14, "title", what[m])
        y += 24
        for (j = 1; j <= n; j++) {
            bar(m, order[j], y, scale)
            y += 18
        }
        y += 14
    }
    if (body == "")
        return
    file = svg "/" picture ".svg"
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"620\"" \
        " height=\"%d\" viewBox=\"0 0 620 %d\">\n", y, y > file
    printf "<style>text{font:12px sans-serif;fill:#333}" \
        ".title{font-weight:bold;font-size:13px}.name{text-anchor:end}" \
        ".usname{font-weight:bold}.value{fill:#666}" \
        ".us{fill:#c8501e}.peer{fill:#9fb1c1}.cut{fill:#fff}</style>\n" > file
    printf "<rect width=\"620\" height=\"%d\" fill=\"#fff\"/>\n", y > file
    printf "%s</svg>\n", body > file
    close(file)
}

FNR == NR {
    if ($0 !~ /^#/ && split($0, field, "|") == 5) {
        m = metric[++metrics] = field[1]
        drawn_in[m] = field[2]
        unit[m] = field[3]
        ours[m] = field[4]
        what[m] = field[5]
        if (!(field[2] in seen)) {
            seen[field[2]] = 1
            picture[++pictures] = field[2]
        }
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
    for (j = 1; j <= pictures; j++)
        draw(picture[j])
}
