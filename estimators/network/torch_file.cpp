#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <variant>

#include <chest/error.hpp>
#include <chest/file_kind.hpp>

#include "settings.hpp"
#include "tensor_file.hpp"

#ifdef CHEST_WITH_ZIP
#include <zip.h>
#endif

namespace chest {
inline namespace v0 {

#ifdef CHEST_WITH_ZIP

namespace {

/// A tensor in a pickle: a view into the bytes of a storage.
struct TensorView {
  std::string type, storage;  ///< "F32", and the name of the member that holds it
  std::int64_t offset = 0;
  std::vector<std::int64_t> dims, strides;
};

struct PickledValue;
using PickledPtr = PickledValue*;  // the Unpickler's: a damaged pickle may hold itself
/// Tuples and lists.
struct PickledList {
  std::vector<PickledPtr> items;
};
struct PickledDict {
  std::vector<std::pair<PickledPtr, PickledPtr>> items;
};
/// A class or function by name; never imported.
struct PickledName {
  std::string name;
};
/// What a class or function would have made, and None.
struct PickledOther {};

struct PickledValue {
  std::variant<PickledOther, bool, std::int64_t, double, std::string, PickledList, PickledDict,
               PickledName, TensorView>
      value;
};

/// Reads the instructions of pickle protocols 2 to 5 that torch.save() writes, as data.
class Unpickler {
 public:
  Unpickler(const std::filesystem::path& file, const std::vector<char>& bytes)
      : file_(file), bytes_(bytes) {}

  /// What is pickled; lives as long as this object.
  PickledPtr run() {
    for (;;) {
      const auto code = static_cast<unsigned char>(take(1)[0]);
      if (code == '.') return pop();
      execute(code);
    }
  }

 private:
  [[noreturn]] void damaged(const std::string& what) const {
    throw_format(file_, "its pickle is damaged or of a kind that is not read here (" + what +
                            "); save the state dictionary alone: torch.save(model.state_dict(), "
                            "FILE)");
  }
  const char* take(std::size_t n) {
    if (n > bytes_.size() - at_) damaged("it ends too early");
    at_ += n;
    return bytes_.data() + at_ - n;
  }
  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::string text(std::size_t n) {
    const char* const first = take(n);
    return std::string(first, n);
  }
  std::string line() {
    std::string out;
    for (char c = *take(1); c != '\n'; c = *take(1)) out += c;
    return out;
  }
  template <class Value>
  void push(Value value) {
    values_.push_back(PickledValue{std::move(value)});
    stack_.push_back(&values_.back());
  }
  PickledPtr pop() {
    if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size())) {
      damaged("its stack is empty");
    }
    const PickledPtr top = stack_.back();
    stack_.pop_back();
    return top;
  }
  PickledPtr top() {
    if (stack_.empty()) damaged("its stack is empty");
    return stack_.back();
  }
  std::vector<PickledPtr> pop_mark() {
    if (marks_.empty() || marks_.back() > stack_.size()) damaged("no mark");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickledPtr> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }
  void memoize(std::size_t index) {
    constexpr std::size_t most = 10'000'000;
    if (index > most) damaged("memo " + std::to_string(index));
    if (memo_.size() <= index) memo_.resize(index + 1);
    memo_[index] = top();
  }
  void recall(std::size_t index) {
    if (index >= memo_.size() || !memo_[index]) damaged("memo " + std::to_string(index));
    stack_.push_back(memo_[index]);
  }
  void tuple(std::size_t n) {
    PickledList list;
    for (std::size_t i = 0; i < n; ++i) list.items.insert(list.items.begin(), pop());
    push(std::move(list));
  }
  void set_items(const std::vector<PickledPtr>& items) {
    auto* const dict = std::get_if<PickledDict>(&top()->value);
    if (items.size() % 2 != 0) damaged("a key without a value");
    if (dict == nullptr) return;  // of an object that is left out
    for (std::size_t i = 0; i < items.size(); i += 2) {
      dict->items.emplace_back(items[i], items[i + 1]);
    }
  }
  void append(const std::vector<PickledPtr>& items) {
    auto* const list = std::get_if<PickledList>(&top()->value);
    if (list != nullptr) list->items.insert(list->items.end(), items.begin(), items.end());
  }

  void execute(unsigned char code) {
    switch (code) {
      case 0x80:  // PROTO
        take(1);
        return;
      case 0x95:  // FRAME
        take(8);
        return;
      case '(':
        marks_.push_back(stack_.size());
        return;
      case '}':
        return push(PickledDict{});
      case ']':
      case ')':
        return push(PickledList{});
      case 0x8f:  // EMPTY_SET
      case 'N':
        return push(PickledOther{});
      case 0x88:
      case 0x89:
        return push(code == 0x88);
      case 'J':
        return push(static_cast<std::int64_t>(number<std::int32_t>()));
      case 'K':
        return push(static_cast<std::int64_t>(number<std::uint8_t>()));
      case 'M':
        return push(static_cast<std::int64_t>(number<std::uint16_t>()));
      case 0x8a: {  // LONG1, little-endian
        const auto n = number<std::uint8_t>();
        const std::string digits = text(n);
        if (n > 8) return push(PickledOther{});
        std::int64_t value = n > 0 && (digits.back() & 0x80) != 0 ? -1 : 0;
        std::memcpy(&value, digits.data(), n);
        return push(value);
      }
      case 'G': {  // big-endian
        std::uint64_t bits = 0;
        for (const char c : text(8)) bits = bits << 8 | static_cast<unsigned char>(c);
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return push(value);
      }
      case 'X':
      case 'T':
      case 'B':
        return push(text(number<std::uint32_t>()));
      case 0x8c:
      case 'U':
      case 'C':
        return push(text(number<std::uint8_t>()));
      case 'q':
        return memoize(number<std::uint8_t>());
      case 'r':
        return memoize(number<std::uint32_t>());
      case 0x94:
        return memoize(memo_.size());
      case 'h':
        return recall(number<std::uint8_t>());
      case 'j':
        return recall(number<std::uint32_t>());
      case '0':
        pop();
        return;
      case 0x85:
      case 0x86:
      case 0x87:
        return tuple(code - 0x84u);
      case 't':
        return push(PickledList{pop_mark()});
      case 'a':
        return append_one();
      case 'e':
        return append(pop_mark());
      case 0x90:  // ADDITEMS
        pop_mark();
        return;
      case 's':
        return set_one();
      case 'u':
        return set_items(pop_mark());
      case 'c': {
        const std::string module = line();
        return push(PickledName{module + "." + line()});
      }
      case 0x93: {  // STACK_GLOBAL
        const PickledPtr name = pop(), module = pop();
        return push(PickledName{text_of(module) + "." + text_of(name)});
      }
      case 'R':
        return reduce();
      case 0x81:  // NEWOBJ
        pop();
        pop();
        return push(PickledOther{});
      case 'b':  // BUILD: the state of an object; of an OrderedDict its metadata
        pop();
        return;
      case 'Q':
        return storage();
      default:
        damaged("instruction " + std::to_string(code));
    }
  }
  void append_one() {
    const PickledPtr item = pop();
    append({item});
  }
  void set_one() {
    const PickledPtr value = pop(), key = pop();
    set_items({key, value});
  }
  std::string text_of(const PickledValue* value) const {
    const auto* const found = std::get_if<std::string>(&value->value);
    if (found == nullptr) damaged("no text where a name is expected");
    return *found;
  }
  std::int64_t count_of(const PickledValue* value) const {
    const auto* const found = std::get_if<std::int64_t>(&value->value);
    if (found == nullptr || *found < 0) damaged("no size where one is expected");
    return *found;
  }
  std::vector<std::int64_t> counts_of(const PickledValue* value) const {
    std::vector<std::int64_t> counts;
    for (const PickledPtr item : items_of(value)) counts.push_back(count_of(item));
    return counts;
  }
  const std::vector<PickledPtr>& items_of(const PickledValue* value) const {
    const auto* const found = std::get_if<PickledList>(&value->value);
    if (found == nullptr) damaged("no tuple where one is expected");
    return found->items;
  }

  /// ("storage", type, name of the member, device, number of values)
  void storage() {
    const PickledPtr id = pop();
    const std::vector<PickledPtr>& parts = items_of(id);
    if (parts.size() < 5 || text_of(parts[0]) != "storage") damaged("no storage");
    const auto* const type = std::get_if<PickledName>(&parts[1]->value);
    static const std::map<std::string, std::string> types{
        {"torch.FloatStorage", "F32"}, {"torch.DoubleStorage", "F64"},
        {"torch.HalfStorage", "F16"},  {"torch.BFloat16Storage", "BF16"},
        {"torch.LongStorage", "I64"},  {"torch.IntStorage", "I32"},
        {"torch.ShortStorage", "I16"}, {"torch.CharStorage", "I8"},
        {"torch.ByteStorage", "U8"},   {"torch.BoolStorage", "BOOL"}};
    if (type == nullptr) damaged("a storage of no type");
    const auto known = types.find(type->name);
    if (known == types.end()) return push(PickledOther{});
    push(TensorView{known->second, text_of(parts[2]), 0, {}, {}});
  }

  void reduce() {
    const PickledPtr arguments = pop(), function = pop();
    const auto* const name = std::get_if<PickledName>(&function->value);
    const std::string what = name == nullptr ? "" : name->name;
    const std::vector<PickledPtr>& parts = items_of(arguments);
    if (what == "collections.OrderedDict" && parts.empty()) return push(PickledDict{});
    if (what == "torch._utils._rebuild_parameter" && !parts.empty()) {
      stack_.push_back(parts[0]);
      return;
    }
    if (what != "torch._utils._rebuild_tensor_v2" || parts.size() < 4) return push(PickledOther{});
    const auto* const of = std::get_if<TensorView>(&parts[0]->value);
    if (of == nullptr) return push(PickledOther{});
    TensorView view = *of;
    view.offset = count_of(parts[1]);
    view.dims = counts_of(parts[2]);
    view.strides = counts_of(parts[3]);
    if (view.dims.size() != view.strides.size()) damaged("a tensor without strides");
    push(std::move(view));
  }

  const std::filesystem::path& file_;
  const std::vector<char>& bytes_;
  std::size_t at_ = 0;
  std::deque<PickledValue> values_;
  std::vector<PickledPtr> stack_, memo_;
  std::vector<std::size_t> marks_;
};

/// The members of a zip archive, whole.
class TorchArchive {
 public:
  explicit TorchArchive(const std::filesystem::path& file) : file_(file) {
    int code = 0;
    archive_.reset(::zip_open(file.c_str(), ZIP_RDONLY, &code));
    if (!archive_)
      throw_format(file_, "is a zip archive that cannot be opened; it is truncated or damaged");
    const zip_int64_t n = ::zip_get_num_entries(archive_.get(), 0);
    for (zip_int64_t i = 0; i < n; ++i) {
      const char* const name = ::zip_get_name(archive_.get(), static_cast<zip_uint64_t>(i), 0);
      const std::string member = name == nullptr ? "" : name;
      if (member.ends_with("/data.pkl")) folder_ = member.substr(0, member.size() - 8);
    }
    if (folder_.empty()) {
      throw_format(file_, "is a zip archive without data.pkl; expected what torch.save() writes");
    }
  }

  std::vector<char> read(const std::string& member) const {
    const std::string name = folder_ + member;
    zip_stat_t stat;
    ::zip_stat_init(&stat);
    if (::zip_stat(archive_.get(), name.c_str(), 0, &stat) != 0 ||
        (stat.valid & (ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD)) !=
            (ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD)) {
      throw_format(file_, "has no member " + name + "; it is damaged");
    }
    // PyTorch does not pack: what claims another size is damaged.
    std::error_code error;
    if (stat.comp_method != ZIP_CM_STORE || stat.size != stat.comp_size ||
        stat.size > std::filesystem::file_size(file_, error)) {
      throw_format(file_, "its member " + name +
                              " is packed or damaged; expected it as "
                              "torch.save() writes it");
    }
    std::vector<char> bytes(stat.size);
    const std::unique_ptr<zip_file_t, CloseMember> open(
        ::zip_fopen(archive_.get(), name.c_str(), 0));
    // The end is asked for too: libzip compares the checksum there.
    char beyond = 0;
    if (!open ||
        ::zip_fread(open.get(), bytes.data(), bytes.size()) !=
            static_cast<zip_int64_t>(bytes.size()) ||
        ::zip_fread(open.get(), &beyond, 1) != 0) {
      throw_format(file_,
                   "its member " + name + " cannot be read; the file is truncated or damaged");
    }
    return bytes;
  }
  bool has(const std::string& member) const {
    return ::zip_name_locate(archive_.get(), (folder_ + member).c_str(), 0) >= 0;
  }

 private:
  struct CloseZip {
    void operator()(zip_t* archive) const { ::zip_discard(archive); }
  };
  struct CloseMember {
    void operator()(zip_file_t* member) const { ::zip_fclose(member); }
  };
  std::filesystem::path file_;
  std::unique_ptr<zip_t, CloseZip> archive_;
  std::string folder_;  ///< "archive/": where all members lie
};

std::size_t stored_bytes(const std::string& type) {
  return type.ends_with("64") ? 8 : type.ends_with("32") ? 4 : type.ends_with("16") ? 2 : 1;
}

/// The values that a view shows, in C order.
std::vector<char> values_of(const TensorView& view, const std::vector<char>& storage,
                            const std::filesystem::path& file, const std::string& name) {
  const std::size_t per_value = stored_bytes(view.type);
  const auto room = static_cast<std::int64_t>(storage.size() / per_value);
  // The last value lies within the storage, and there are no more values than it has.
  std::int64_t last = view.offset, n = 1;
  bool fits = view.offset <= room;
  for (std::size_t i = 0; i < view.dims.size() && fits; ++i) {
    const std::int64_t dim = view.dims[i], stride = view.strides[i];
    if (dim == 0) {
      n = 0;
      break;
    }
    fits = dim <= room && stride <= room && n <= room / dim &&
           (stride == 0 || dim - 1 <= (room - last) / stride);
    n *= dim;
    last += (dim - 1) * stride;
  }
  if (!fits || (n > 0 && last >= room)) {
    throw_format(file, "the tensor " + name + " reaches beyond its storage; the file is damaged");
  }
  std::vector<char> bytes(static_cast<std::size_t>(n) * per_value);
  std::vector<std::int64_t> index(view.dims.size(), 0);
  std::int64_t at = view.offset;
  for (std::int64_t k = 0; k < n; ++k) {
    std::memcpy(bytes.data() + static_cast<std::size_t>(k) * per_value,
                storage.data() + static_cast<std::size_t>(at) * per_value, per_value);
    for (std::size_t i = index.size(); i-- > 0;) {
      at += view.strides[i];
      if (++index[i] < view.dims[i]) break;
      at -= view.strides[i] * view.dims[i];
      index[i] = 0;
    }
  }
  return bytes;
}

void collect_tensors(const PickledValue& value, const std::string& name, int depth, int& n_seen,
                     std::vector<std::pair<std::string, const TensorView*>>& found) {
  // A damaged pickle may hold itself.
  constexpr int most_depth = 8, most_seen = 100'000;
  if (++n_seen > most_seen) return;
  if (const auto* const view = std::get_if<TensorView>(&value.value)) {
    found.emplace_back(name, view);
  }
  const auto* const dict = std::get_if<PickledDict>(&value.value);
  if (dict == nullptr || depth > most_depth) return;
  for (const auto& [key, item] : dict->items) {
    const auto* const text = std::get_if<std::string>(&key->value);
    if (text == nullptr) continue;
    collect_tensors(*item, name.empty() ? *text : name + "." + *text, depth + 1, n_seen, found);
  }
}

}  // namespace

TensorFile read_torch_file(const std::filesystem::path& file) {
  if (file_kind(file) != FileKind::zip) {
    throw_format(file,
                 "is not a zip archive, as torch.save() of PyTorch 1.6 and later writes; load it "
                 "there and save it again");
  }
  const TorchArchive archive(file);
  if (archive.has("byteorder")) {
    const std::vector<char> order = archive.read("byteorder");
    if (std::string(order.begin(), order.end()) != "little") {
      throw_format(file, "was written on a big-endian machine; expected little-endian values");
    }
  }
  const std::vector<char> pickle = archive.read("data.pkl");
  Unpickler unpickler(file, pickle);
  std::vector<std::pair<std::string, const TensorView*>> views;
  int n_seen = 0;
  collect_tensors(*unpickler.run(), "", 0, n_seen, views);
  TensorFile content;
  for (const auto& [name, view] : views) {
    content.tensors.push_back(
        {name, view->type, view->dims,
         values_of(*view, archive.read("data/" + view->storage), file, name)});
  }
  return content;
}

#else

TensorFile read_torch_file(const std::filesystem::path& file) {
  throw_format(file, "files of PyTorch are read with libzip, which this chest was built without");
}

#endif

}  // namespace v0
}  // namespace chest
