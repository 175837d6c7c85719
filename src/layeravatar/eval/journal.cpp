#include "layeravatar/eval/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/core/mapped_file.h"
#include "layeravatar/io/json.h"

namespace layeravatar::eval {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> read_origin(const fs::path& file) {
  const nlohmann::json json = io::parse_json(read_file(file), file.string());
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) throw Error(ErrorKind::kInput, fmt::format("{}: '{}'; expected a text", file.string(), key));
    out[key] = value.get<std::string>();
  }
  return out;
}

// A line {"name": [numbers]}; nothing for one that is cut short.
std::optional<std::pair<std::string, std::vector<double>>> parse_line(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || json.size() != 1 || !json.begin().value().is_array()) return std::nullopt;
  std::vector<double> numbers;
  for (const auto& number : json.begin().value()) {
    if (!number.is_number() && !number.is_null()) return std::nullopt;
    numbers.push_back(number.is_null() ? std::nan("") : number.get<double>());
  }
  return std::pair(json.begin().key(), numbers);
}

}  // namespace

Journal::Journal(fs::path folder, std::map<std::string, std::string> made_from) : folder_(std::move(folder)) {
  make_folder(folder_);
  const fs::path origin = folder_ / "made_from.json", file = folder_ / "journal.jsonl";
  if (fs::exists(origin))
    for (const auto& [key, value] : read_origin(origin))
      if (const auto [at, added] = made_from.emplace(key, value); !added && at->second != value)
        throw Error(ErrorKind::kConfig, fmt::format("{}: made with {} = {}, now {}; give another folder", folder_.string(), key, value, at->second));
  write_file(origin, nlohmann::json(made_from).dump(1) + "\n");
  if (fs::exists(file)) {
    const std::string text = read_file(file);
    std::size_t whole = 0;
    for (std::size_t end; (end = text.find('\n', whole)) != std::string::npos; whole = end + 1) {
      auto line = parse_line(text.substr(whole, end - whole));
      if (!line) throw Error(ErrorKind::kInput, fmt::format("{}: line {} is no record; remove the folder", file.string(), 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(whole), '\n')));
      records_[line->first] = std::move(line->second);
    }
    if (whole < text.size()) fs::resize_file(file, whole);
  }
  lines_.open(file, std::ios::app | std::ios::binary);
  if (!lines_) throw Error(ErrorKind::kOutput, file.string() + ": cannot write");
}

std::optional<std::vector<double>> Journal::find(const std::string& name) const {
  const auto at = records_.find(name);
  return at == records_.end() ? std::nullopt : std::optional(at->second);
}

void Journal::record(const std::string& name, const std::vector<double>& numbers) {
  nlohmann::json line;
  line[name] = numbers;
  lines_ << line.dump() << '\n' << std::flush;
  if (!lines_) throw Error(ErrorKind::kOutput, (folder_ / "journal.jsonl").string() + ": cannot write");
  records_[name] = numbers;
}

FeatureRows::FeatureRows(Journal& journal, std::string rows_name) : journal_(&journal), name_(std::move(rows_name)), file_(journal.folder() / (name_ + ".f32")) {
  for (const auto& [name, numbers] : journal.records())
    if (name.starts_with(name_ + "/")) {
      LAV_CHECK(numbers.size() == 2, "rows and features of each");
      count_ = std::max(count_, static_cast<std::int64_t>(numbers[0])), width_ = static_cast<std::int64_t>(numbers[1]);
    }
  const auto bytes = static_cast<std::uintmax_t>(count_ * width_) * sizeof(float);
  std::error_code error;
  const std::uintmax_t found = fs::exists(file_) ? fs::file_size(file_, error) : 0;
  if (found < bytes) throw Error(ErrorKind::kInput, fmt::format("{}: expected {} bytes, found {}; remove the folder", file_.string(), bytes, found));
  if (found > bytes) fs::resize_file(file_, bytes);
}

bool FeatureRows::has(const std::string& unit) const { return journal_->find(name_ + "/" + unit).has_value(); }

void FeatureRows::add(const std::string& unit, const torch::Tensor& rows) {
  LAV_CHECK(rows.dim() == 2 && rows.scalar_type() == torch::kFloat32 && !has(unit), "new rows of float32");
  if (count_ > 0 && rows.size(1) != width_)
    throw Error(ErrorKind::kInput, fmt::format("{}: expected {} features, found {}", file_.string(), width_, rows.size(1)));
  const torch::Tensor whole = rows.contiguous();
  std::ofstream out(file_, std::ios::app | std::ios::binary);
  out.write(reinterpret_cast<const char*>(whole.data_ptr<float>()), static_cast<std::streamsize>(whole.numel() * static_cast<std::int64_t>(sizeof(float))));
  out.close();
  if (!out) throw Error(ErrorKind::kOutput, file_.string() + ": cannot write");
  count_ += rows.size(0), width_ = rows.size(1);
  journal_->record(name_ + "/" + unit, {static_cast<double>(count_), static_cast<double>(width_)});
}

torch::Tensor FeatureRows::rows() const {
  if (count_ == 0) return torch::empty({0, width_});
  const auto file = std::make_shared<MappedFile>(file_);
  LAV_CHECK(file->bytes().size() == static_cast<std::size_t>(count_ * width_) * sizeof(float), "the rows that were written");
  return torch::from_blob(const_cast<char*>(file->bytes().data()), {count_, width_}, [file](void*) {}, torch::kFloat32);
}

}  // namespace layeravatar::eval
