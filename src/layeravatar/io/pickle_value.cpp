#include <algorithm>
#include <array>
#include <utility>

#include "layeravatar/io/pickle_machine.h"

namespace layeravatar::io {
namespace {
using Kind = PickleValue::Kind;
static_assert(static_cast<int>(Kind::kObject) == static_cast<int>(PickleNode::Kind::kObject), "both lists begin alike");
constexpr std::size_t kMaxLeafName = 1024;
constexpr std::size_t kMaxArrays = 1U << 18U;
constexpr std::uint64_t kSharedFactor = 4;
constexpr std::uint64_t kSharedSlack = 1U << 26U;

[[noreturn]] void wrong_kind(Kind found, const char* wanted) {
  LAV_CHECK(false, std::string("the pickled value is a ") + name_of(found) + ", asked for " + wanted);
}

bool is_container(Kind kind) { return kind == Kind::kList || kind == Kind::kTuple || kind == Kind::kSet || kind == Kind::kDict; }

// Bounded by the depth that the machine has let through.
template <class Visit>
void walk(const PickleValue& value, std::string& name, const Visit& visit) {
  if (!is_container(value.kind()) || value.size() == 0) {
    visit(name, value);
    return;
  }
  const std::size_t length = name.size();
  const bool dict = value.is(Kind::kDict);
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (length > 0) name += '.';
    const PickleValue key = dict ? value.key(i) : PickleValue();
    if (!dict) name += std::to_string(i);
    else if (key.is(Kind::kText)) name += key.text().substr(0, kMaxLeafName + 1);
    else if (key.is(Kind::kInteger)) name += std::to_string(key.integer());
    else name += std::string("<") + name_of(key.kind()) + ">";
    walk(dict ? value.value(i) : value.item(i), name, visit);
    name.resize(length);
  }
}
}  // namespace

const char* name_of(PickleValue::Kind kind) {
  static constexpr std::array<const char*, 12> kNames = {"none", "bool",  "integer", "real", "text",  "bytes",
                                                         "list", "tuple", "set",     "dict", "array", "object"};
  return kNames[static_cast<std::size_t>(kind)];
}

PickleValue::Kind PickleValue::kind() const { return node_ ? static_cast<Kind>(node_->kind) : Kind::kNone; }

bool PickleValue::boolean() const {
  if (!is(Kind::kBool)) wrong_kind(kind(), "bool");
  return node_->integer() != 0;
}

std::int64_t PickleValue::integer() const {
  if (!is(Kind::kInteger)) wrong_kind(kind(), "integer");
  return node_->integer();
}

double PickleValue::real() const {
  if (is(Kind::kInteger)) return static_cast<double>(node_->integer());
  if (!is(Kind::kReal)) wrong_kind(kind(), "real");
  return std::get<double>(node_->content);
}

std::string_view PickleValue::text() const {
  if (!is(Kind::kText)) wrong_kind(kind(), "text");
  return node_->text();
}

std::string_view PickleValue::bytes() const {
  if (!is(Kind::kBytes)) wrong_kind(kind(), "bytes");
  return node_->text();
}

const Array& PickleValue::array() const {
  if (!is(Kind::kArray)) wrong_kind(kind(), "array");
  return node_->array();
}

std::size_t PickleValue::size() const {
  if (!is_container(kind())) wrong_kind(kind(), "a container");
  return is(Kind::kDict) ? node_->items().size() / 2 : node_->items().size();
}

PickleValue PickleValue::item(std::size_t i) const {
  if (!is_container(kind()) || is(Kind::kDict)) wrong_kind(kind(), "a list");
  return handle(node_->items().at(i));
}

PickleValue PickleValue::key(std::size_t i) const {
  if (!is(Kind::kDict)) wrong_kind(kind(), "dict");
  return handle(node_->items().at(2 * i));
}

PickleValue PickleValue::value(std::size_t i) const {
  if (!is(Kind::kDict)) wrong_kind(kind(), "dict");
  return handle(node_->items().at(2 * i + 1));
}

bool PickleValue::contains(std::string_view wanted) const { return find(wanted).node_ != nullptr; }

PickleValue PickleValue::find(std::string_view wanted) const {
  if (!is(Kind::kDict)) wrong_kind(kind(), "dict");
  const auto& items = node_->items();
  for (std::size_t i = 0; i < items.size(); i += 2) {
    if (items[i]->kind == PickleNode::Kind::kText && items[i]->text() == wanted) return handle(items[i + 1]);
  }
  return {};
}

std::string_view PickleValue::class_name() const {
  if (!is(Kind::kObject)) wrong_kind(kind(), "object");
  return node_->items()[0]->text();
}

PickleValue PickleValue::state() const {
  if (!is(Kind::kObject)) wrong_kind(kind(), "object");
  return node_->items()[1] == nullptr ? PickleValue() : handle(node_->items()[1]);
}

void for_each_leaf(const PickleValue& value, const std::function<void(const std::string&, const PickleValue&)>& visit) {
  std::string name;
  walk(value, name, visit);
}

ArrayMap flatten_arrays(const PickleValue& value, const std::string& file) {
  ArrayMap arrays;
  std::map<const Array*, std::uint64_t> uses;
  std::uint64_t once = 0;
  std::uint64_t total = 0;
  for_each_leaf(value, [&](const std::string& name, const PickleValue& leaf) {
    if (!leaf.is(Kind::kArray)) return;
    const auto fail = [&file](const std::string& what) { throw Error(ErrorKind::kInput, file + ": " + what); };
    if (name.size() > kMaxLeafName) fail("array whose name is longer than " + std::to_string(kMaxLeafName) + " bytes");
    if (arrays.size() >= kMaxArrays) fail("more than " + std::to_string(kMaxArrays) + " arrays");
    const Array& array = leaf.array();
    if (++uses[&array] == 1) once += array.data.size();
    total += array.data.size();
    if (total > kSharedFactor * once + kSharedSlack) fail("the same arrays stand in too many places");
    if (!arrays.emplace(name, array).second) fail("array '" + name + "' is given twice");
  });
  return arrays;
}

}  // namespace layeravatar::io
