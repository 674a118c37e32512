#include <fmt/format.h>

#include <string>

#include "tools/guideway/app.hpp"
#include "tools/guideway/generate.hpp"

namespace guideway::cli {
namespace {

// Text for man(7): a hyphen is a minus sign, a backslash is escaped, and no line begins
// with a control character.
std::string roff(std::string_view text)
{
    std::string safe;
    for (const char c : text) {
        const bool line_begins = safe.empty() || safe.back() == '\n';
        if (line_begins && (c == '.' || c == '\'')) {
            safe += "\\&";
        }
        safe += c == '-' ? "\\-" : c == '\\' ? "\\e" : std::string(1, c);
    }
    return safe;
}

std::string option_lines(const CLI::App &app)
{
    std::string lines;
    for (const CLI::Option *option : app.get_options()) {
        if (option->get_lnames().empty()) {
            lines += fmt::format(".TP\n.I {}\n{}\n", roff(option->get_name()),
                                 roff(option->get_description()));
        } else if (option->get_lnames().front() != "help") {
            // The type's checks, behind a colon, are for error messages.
            const std::string type = option->get_type_name();
            const std::string value =
                option->get_expected_max() > 0 && option->get_type_size_max() > 0
                    ? " \\fI" + roff(type.substr(0, type.find_first_of(": "))) + "\\fR"
                    : "";
            lines +=
                fmt::format(".TP\n\\fB\\-\\-{}\\fR{}\n{}\n", roff(option->get_lnames().front()),
                            value, roff(option->get_description()));
        }
    }
    return lines;
}

void add_verbs(const CLI::App &app, const std::string &path, std::string &page)
{
    for (const CLI::App *verb : app.get_subcommands(
             [](const CLI::App *candidate) { return !candidate->get_group().empty(); })) {
        const std::string name = path + " " + verb->get_name();
        if (verb->get_subcommands([](const CLI::App *) { return true; }).empty()) {
            std::string usage = name;
            for (const CLI::Option *option : verb->get_options()) {
                if (option->get_positional()) {
                    usage += option->get_required() ? " " + option->get_name()
                                                    : " [" + option->get_name() + "]";
                }
            }
            page += fmt::format(".SS {}\n{}.\n{}", roff(usage), roff(verb->get_description()),
                                option_lines(*verb));
        } else {
            add_verbs(*verb, name, page);
        }
    }
}

}  // namespace

std::string manual_page(const CLI::App &app)
{
    std::string page = fmt::format(
        R"(.TH GUIDEWAY 1 "" "guideway {}" "Guideway"
.SH NAME
guideway \- speak to guidewayd, the load balancer's daemon
.SH SYNOPSIS
.B guideway
.RB [ \-\-socket
.IR PATH ]
.RB [ \-\-json ]
.I VERB
.RI [ ARGUMENT .\|.\|.]
.SH DESCRIPTION
.B guideway
shows what the daemon of this host does and changes it, over the daemon's HTTP API on a Unix
socket.
.B check
needs no daemon.
.SH OPTIONS
These can be given before or after the verb.
{}.SH VERBS
)",
        GUIDEWAY_VERSION, option_lines(app));
    add_verbs(app, "guideway", page);
    page += ".SH EXIT STATUS\n";
    for (const auto &[code, meaning] : exit_meanings()) {
        page += fmt::format(".TP\n.B {}\n{}.\n", code, roff(meaning));
    }
    page += R"(.SH ENVIRONMENT
.TP
.B GUIDEWAY_SOCKET
The daemon's socket, where \-\-socket is not given.
.TP
.B NO_COLOR
When set and not empty, there are no colours. There are none either when the output is not a
terminal.
.SH FILES
.TP
.I /run/guideway/INSTANCE.sock
The daemon's socket.
.SH SEE ALSO
.BR guidewayd (8)
)";
    return page;
}

std::string daemon_manual_page(std::string_view help)
{
    return fmt::format(
        R"(.TH GUIDEWAYD 8 "" "guideway {}" "Guideway"
.SH NAME
guidewayd \- the control daemon of the Guideway load balancer
.SH DESCRIPTION
.B guidewayd
keeps the desired state of one instance, attaches the XDP program to its interfaces, and keeps
the forwarding tables in step with configuration, routes and neighbours. When it ends by a
signal, packets go on being forwarded with what the tables hold;
.B guideway detach
ends that.
.SH OPTIONS
.nf
{}
.fi
.SH FILES
.TP
.I /var/lib/guideway/INSTANCE.db
Revisions: what was applied, and the operator's overrides.
.TP
.I /var/lib/guideway/INSTANCE.lists
Allow and deny lists.
.TP
.I /run/guideway/INSTANCE.sock
The HTTP API.
.SH SEE ALSO
.BR guideway (1),
.BR guideway-dpdk (8)
)",
        GUIDEWAY_VERSION, roff(help));
}

std::string engine_manual_page(std::string_view help)
{
    return fmt::format(
        R"(.TH GUIDEWAY-DPDK 8 "" "guideway {}" "Guideway"
.SH NAME
guideway\-dpdk \- the DPDK engine of the Guideway load balancer
.SH DESCRIPTION
.B guideway\-dpdk
forwards the packets of one instance by the tables that
.BR guidewayd (8)
keeps, over any port that DPDK has a driver for. It goes on while the daemon is away. The daemon
starts it, where the configuration says
.BR "engine: dpdk" ;
or a service manager does.
.SH OPTIONS
.nf
{}
.fi
.SH FILES
.TP
.I /run/guideway/INSTANCE.dpdk
What the engine tells the daemon of itself. It is locked while the engine runs.
.TP
.I /sys/fs/bpf/guideway/INSTANCE/region
The tables.
.SH SEE ALSO
.BR guidewayd (8),
.BR guideway (1)
)",
        GUIDEWAY_VERSION, roff(help));
}

}  // namespace guideway::cli
