#include "control/config/tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <map>
#include <spanstream>
#include <utility>

#include "control/model/validate.hpp"

namespace guideway::config {

namespace {

// The parser counts columns in bytes, people in characters.
class Places {
  public:
    explicit Places(std::string_view text) : rest_(text)
    {
        if (rest_.starts_with("\xef\xbb\xbf")) {
            rest_.remove_prefix(3);  // a byte order mark has no place
        }
    }

    // Marks come nearly in the order of the text, which is read on from the last one.
    [[nodiscard]] Position of(const YAML::Mark &mark)
    {
        if (mark.is_null()) {
            return {};
        }
        while (line_ < mark.line && !rest_.empty()) {
            const size_t end = rest_.find('\n');
            rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
            line_++;
            bytes_ = characters_ = 0;
        }
        if (line_ != mark.line) {
            return {.line = mark.line + 1, .column = mark.column + 1};
        }
        if (bytes_ > mark.column) {
            bytes_ = characters_ = 0;
        }
        const auto end = std::min(static_cast<size_t>(mark.column), rest_.size());
        for (; static_cast<size_t>(bytes_) < end; bytes_++) {
            characters_ += (static_cast<uint8_t>(rest_[bytes_]) & 0xc0) == 0x80 ? 0 : 1;
        }
        return {.line = mark.line + 1, .column = characters_ + 1};
    }

  private:
    std::string_view rest_;  // from the start of line_
    int line_ = 0;
    int bytes_ = 0;  // of the line that have been counted, and
    int characters_ = 0;
};

// Ends the reading of a text that is not worth reading further. Never leaves this file.
struct Stop : std::exception {};

// Builds the tree from the parser's events. A map is filled by alternating keys and values.
class Builder : public YAML::EventHandler {
  public:
    Builder(Places &places, std::vector<Problem> &problems)
        : places_(places), problems_(problems)
    {
    }

    Node root;

    void OnDocumentStart(const YAML::Mark &mark) override
    {
        if (++documents_ > 1) {
            stop(places_.of(mark), "a second document begins here",
                 "a configuration is one document; remove what follows");
        }
    }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark &mark, YAML::anchor_t anchor) override
    {
        Node node{.position = places_.of(mark)};
        check_plain(node, "?", anchor);
        add(std::move(node));
    }
    void OnAlias(const YAML::Mark &mark, YAML::anchor_t /*anchor*/) override
    {
        Node node{.kind = Node::Kind::kRefused, .position = places_.of(mark)};
        report(node.position, "aliases (*name) are not used in configurations",
               "write the value out");
        add(std::move(node));
    }
    void OnScalar(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                  const std::string &value) override
    {
        Node node{.kind = Node::Kind::kScalar,
                  .position = places_.of(mark),
                  .is_quoted = tag == "!",
                  .text = value};
        check_plain(node, tag, anchor);
        add(std::move(node));
    }
    void OnSequenceStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override
    {
        open(Node::Kind::kList, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark &mark, const std::string &tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override
    {
        open(Node::Kind::kMap, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

  private:
    // A list or map that has begun and not ended.
    struct Open {
        Node node;
        bool has_key = false;      // of a map: the next node is the value of `key`
        bool drops_value = false;  // the key was refused; so the value is not kept
        Node::Key key;
        std::map<std::string, int, std::less<>> seen;  // keys, with their lines
    };

    void report(Position position, std::string message, std::string hint)
    {
        problems_.push_back({.file = {},
                             .position = position,
                             .message = std::move(message),
                             .hint = std::move(hint)});
    }

    [[noreturn]] void stop(Position position, std::string message, std::string hint)
    {
        report(position, std::move(message), std::move(hint));
        throw Stop();
    }

    void check_plain(Node &node, const std::string &tag, YAML::anchor_t anchor)
    {
        if (anchor != 0) {
            report(node.position, "anchors (&name) are not used in configurations",
                   "remove it, and write each value out");
        }
        // The parser gives "?" to plain and "!" to quoted text.
        if (!tag.empty() && tag != "?" && tag != "!") {
            report(node.position, "tags (!type) are not used in configurations",
                   "remove it; each key has its type");
            node.kind = node.kind == Node::Kind::kScalar ? Node::Kind::kRefused : node.kind;
        }
    }

    void open(Node::Kind kind, const YAML::Mark &mark, const std::string &tag,
              YAML::anchor_t anchor)
    {
        Open opened;
        opened.node.kind = kind;
        opened.node.position = places_.of(mark);
        check_plain(opened.node, tag == "!" ? "" : tag, anchor);
        if (open_.size() >= kDepthMax) {
            stop(opened.node.position,
                 "more than " + std::to_string(kDepthMax) + " levels of lists and maps",
                 "no key is nested that deep");
        }
        open_.push_back(std::move(opened));
    }

    void close()
    {
        Node node = std::move(open_.back().node);
        open_.pop_back();
        add(std::move(node));
    }

    void add(Node node)
    {
        if (++values_ > kValuesMax) {
            stop(node.position, "more than " + std::to_string(kValuesMax) + " values",
                 "no configuration that fits into the tables is that large");
        }
        if (open_.empty()) {
            root = std::move(node);
            return;
        }
        Open &parent = open_.back();
        if (parent.node.kind == Node::Kind::kList) {
            parent.node.values.push_back(std::move(node));
        } else if (!parent.has_key) {
            parent.has_key = true;
            take_key(parent, std::move(node));
        } else {
            parent.has_key = false;
            if (!parent.drops_value) {
                // The parser places a missing value at whatever comes next.
                if (node.kind == Node::Kind::kNothing) {
                    node.position = parent.key.position;
                }
                parent.node.keys.push_back(std::move(parent.key));
                parent.node.values.push_back(std::move(node));
            }
        }
    }

    void take_key(Open &map, Node node)
    {
        map.drops_value = true;
        if (node.kind == Node::Kind::kRefused) {
            return;
        }
        if (node.kind != Node::Kind::kScalar) {
            report(node.position, "a key that is not a word", "keys are plain words");
            return;
        }
        const auto [first, is_new] = map.seen.try_emplace(node.text, node.position.line);
        if (!is_new) {
            report(node.position, "key " + model::quoted(node.text) + " is given twice",
                   "keep one; the first is on line " + std::to_string(first->second));
            return;
        }
        map.drops_value = false;
        map.key = {.text = std::move(node.text), .position = node.position};
    }

    Places &places_;
    std::vector<Problem> &problems_;
    std::vector<Open> open_;
    size_t values_ = 0;
    int documents_ = 0;
};

// The length of the UTF-8 character at the start of `text`, or 0 if there is none
// (RFC 3629: no surrogates, no overlong forms, nothing over U+10FFFF).
size_t character_bytes(std::string_view text)
{
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    const uint8_t lead = byte(0);
    if (lead < 0x80) {
        return 1;
    }
    const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((byte(i) & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool wrong_second =
        (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
        (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f);
    return wrong_second ? 0 : length;
}

// What can be said of a text before it is parsed, character by character.
class TextCheck {
  public:
    explicit TextCheck(std::vector<Problem> &problems) : problems_(problems) {}

    bool run(std::string_view text)
    {
        if (text.size() > kTextBytesMax) {
            position_ = {};
            return refuse("the text has " + std::to_string(text.size()) + " bytes",
                          "at most " + std::to_string(kTextBytesMax) + " (4 MiB)");
        }
        for (size_t at = 0; at < text.size();) {
            const size_t length = character_bytes(text.substr(at));
            if (!check_character(text.substr(at, length)) || !check_bracket(text[at])) {
                return false;
            }
            at += length;
            position_.column++;
            if (text[at - 1] == '\n') {
                position_ = {.line = position_.line + 1, .column = 1};
            }
        }
        return true;
    }

  private:
    bool refuse(std::string message, std::string hint)
    {
        problems_.push_back({{}, position_, std::move(message), std::move(hint)});
        return false;
    }

    // Not only for tidiness: the parser takes a byte of value 4 for the end of its input
    // and would silently ignore what follows.
    bool check_character(std::string_view character)
    {
        if (character.empty()) {
            return refuse("a byte that is not UTF-8", "save the file as UTF-8");
        }
        const auto byte = static_cast<uint8_t>(character.front());
        const bool is_c1 = byte == 0xc2 && static_cast<uint8_t>(character[1]) < 0xa0;
        if ((byte < ' ' && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f ||
            is_c1) {
            return refuse("a control character, " + model::quoted(character),
                          "remove it; only tabs and ends of lines may stand in the text");
        }
        return true;
    }

    // The parser reads ahead to where an outermost bracket is closed, at over a hundred
    // bytes of memory a token. Brackets in quotes and comments count too: what is refused
    // for them would be no configuration either.
    bool check_bracket(char c)
    {
        const bool opens = c == '[' || c == '{';
        const bool closes = c == ']' || c == '}';
        open_ += opens ? 1 : closes && open_ > 0 ? -1 : 0;
        indicators_ += opens || closes || c == ',' ? 1 : 0;
        if (open_ > kOpenBracketsMax) {
            return refuse("more than " + std::to_string(kOpenBracketsMax) + " open brackets",
                          "close each '[' and '{'");
        }
        if (indicators_ > 2 * kValuesMax) {
            return refuse(
                "more than " + std::to_string(2 * kValuesMax) + " brackets and commas",
                "no configuration that fits into the tables is that large");
        }
        return true;
    }

    std::vector<Problem> &problems_;
    Position position_{.line = 1, .column = 1};
    int open_ = 0;
    size_t indicators_ = 0;
};

}  // namespace

Tree read_tree(std::string_view text)
{
    Tree tree;
    if (!TextCheck(tree.problems).run(text)) {
        return tree;
    }
    Places places(text);
    Builder builder(places, tree.problems);
    try {
        std::ispanstream stream(std::span<const char>(text.data(), text.size()));
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
        tree.is_complete = true;
    } catch (const Stop &) {
        // The problem has been reported.
    } catch (const YAML::Exception &error) {
        tree.problems.push_back({{},
                                 places.of(error.mark),
                                 "not valid YAML: " + error.msg,
                                 "mind indentation, brackets, quotes and the space after ':'"});
    } catch (const std::exception &error) {
        tree.problems.push_back({{},
                                 {},
                                 std::string("the text cannot be read: ") + error.what(),
                                 "a plain YAML file"});
    }
    tree.root = std::move(builder.root);
    return tree;
}

}  // namespace guideway::config
