# picture.awk -- draws what report.awk found
#
# A picture is a column of diagrams. In a diagram each peer has a bar for every
# series; ours are the red ones. Where the longest bar would be more than ten
# times the shortest, the axis is logarithmic.

function text(x, y, class, s)
{
    gsub(/&/, "\\&amp;", s)
    gsub(/</, "\\&lt;", s)
    return sprintf("<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", \
        x, y, class, s)
}

function box(x, y, width, height, class)
{
    return sprintf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\"" \
        " height=\"%d\" class=\"%s\"/>\n", x, y, width, height, class)
}

# The power of ten that is not above v.
function power(v,    p)
{
    p = 1
    while (p > v * 1.001)
        p /= 10
    while (p * 10 <= v * 1.001)
        p *= 10
    return p
}

# The largest of 1, 2, 5, 10, 20, ... that is not above v; the next above v.
function step_down(v,    p)
{
    p = power(v)
    return v >= p * 5 ? p * 5 : v >= p * 2 ? p * 2 : p
}

function step_up(v,    p)
{
    p = power(v)
    return v < p * 1.9 ? p * 2 : v < p * 4.9 ? p * 5 : p * 10
}

# Which metrics make the diagram of metric m; the peers that have any.
function collect(m,    i, j, k, p, v)
{
    bars = rows = 0
    least_bar = most_bar = -1
    for (i = 1; i <= metrics; i++) {
        k = metric[i]
        if (drawn_in[k] != drawn_in[m] || what[k] != what[m])
            continue
        done[k] = 1
        for (j = 1; j <= peers && !((peer[j], k) in samples); j++)
            ;
        if (j > peers)
            continue
        bar[++bars] = k
    }
    for (i = 1; i <= peers; i++) {
        v = -1
        for (j = 1; j <= bars; j++)
            if ((peer[i], bar[j]) in samples) {
                p = middle[peer[i], bar[j]]
                if (v < 0)
                    v = p
                if (least_bar < 0 || p < least_bar)
                    least_bar = p
                if (p > most_bar)
                    most_bar = p
            }
        if (v < 0)
            continue
        for (k = rows; k >= 1 && first[row[k]] > v; k--)
            row[k + 1] = row[k]
        row[k + 1] = peer[i]
        first[peer[i]] = v
        rows++
    }
}

# Where v is on the axis.
function place(v)
{
    if (!logarithmic)
        return left + across * v / axis_end
    return left + across * log(v / axis_begin) / log(axis_end / axis_begin)
}

function set_axis()
{
    logarithmic = least_bar > 0 && most_bar > 10 * least_bar
    axis_begin = logarithmic ? step_down(least_bar * 0.7) : 0
    axis_end = logarithmic ? step_up(most_bar) : most_bar
}

function tick(v, top, height)
{
    return sprintf("<path d=\"M%.1f %d v%d\" class=\"grid\"/>\n", place(v), \
        top, height) text(place(v), top + height + 12, "tick", sprintf("%g", v))
}

# On a long logarithmic axis only where it begins, and the powers of ten.
function ticks(top, height,    v, s, width)
{
    s = ""
    if (logarithmic) {
        width = axis_end / axis_begin
        for (v = axis_begin; v <= axis_end * 1.001; v = step_up(v))
            if (width < 500 || v == axis_begin || v < power(v) * 1.5)
                s = s tick(v, top, height)
    } else {
        width = step_down(axis_end / 4)
        for (v = 0; v <= axis_end * 1.001; v += width)
            s = s tick(v, top, height)
    }
    return s
}

function legend(y,    i, x, s)
{
    s = ""
    x = left
    for (i = 1; i <= bars && bars > 1; i++) {
        s = s box(x, y - 9, 9, 9, "us" i) box(x + 10, y - 9, 9, 9, "peer" i)
        s = s text(x + 23, y, "value", series[bar[i]])
        x += 40 + 7 * length(series[bar[i]])
    }
    return s
}

function diagram(m, y,    i, j, v, top, height, class, s)
{
    collect(m)
    if (rows == 0)
        return y
    set_axis()
    body = body text(10, y + 14, "title", what[m] " (" unit[m] \
        (logarithmic ? ", logarithmic)" : ")"))
    y += 20
    if (bars > 1) {
        body = body legend(y + 12)
        y += 20
    }
    top = y
    height = rows * (bars * thick + gap) + gap
    body = body ticks(top, height)
    y += gap
    for (i = 1; i <= rows; i++) {
        class = row[i] ~ /^alps/ ? "us" : "peer"
        body = body text(left - 8, y + bars * thick / 2 + 4, \
            "name " class "name", row[i])
        for (j = 1; j <= bars; j++) {
            if ((row[i], bar[j]) in samples) {
                v = middle[row[i], bar[j]]
                body = body box(left, y, place(v) - left, thick - 1, class j)
                body = body text(place(v) + 4, y + thick - 2, "value", \
                    figure(v))
            }
            y += thick
        }
        y += gap
    }
    return y + 34
}

function draw(name, file,    i, m, y)
{
    left = 100
    across = 460
    thick = 12
    gap = 6
    body = ""
    y = 10
    for (i = 1; i <= metrics; i++) {
        m = metric[i]
        if (drawn_in[m] == name && !(m in done))
            y = diagram(m, y)
    }
    if (body == "")
        return
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"620\"" \
        " height=\"%d\" viewBox=\"0 0 620 %d\">\n", y, y > file
    printf "<style>text{font:11px sans-serif;fill:#333}" \
        ".title{font-weight:bold;font-size:13px}.name{text-anchor:end}" \
        ".usname{font-weight:bold}.value{fill:#555}" \
        ".tick{text-anchor:middle;fill:#888}.grid{stroke:#ddd}" \
        ".us1{fill:#b23c12}.us2{fill:#e0703e}.us3{fill:#f2ab85}" \
        ".us4{fill:#f8d3bf}.us5{fill:#fbe6da}.peer1{fill:#54708a}.peer2{fill:#8ba3b8}" \
        ".peer3{fill:#bccbd8}.peer4{fill:#dde5ec}" \
        ".peer5{fill:#edf1f5}</style>\n" > file
    printf "<rect width=\"620\" height=\"%d\" fill=\"#fff\"/>\n", y > file
    printf "%s</svg>\n", body > file
    close(file)
}
