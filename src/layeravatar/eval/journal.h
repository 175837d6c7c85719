// What an evaluation has done so far, on the disk, so that an interrupted one goes on.
#pragma once
#include <torch/types.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace layeravatar::eval {

/// Numbers by name in a folder: made_from.json says of what, journal.jsonl has a line for each record. A line cut short by the end of the process
/// counts as not there.
class Journal {
 public:
  /// Makes the folder where it is missing. Throws Error(kConfig) when it was made from something else: "<folder>: made with stride = 8, now 4; give
  /// another folder"; what only one side names is no difference. Throws Error(kInput) for files that are not such ones.
  Journal(std::filesystem::path folder, std::map<std::string, std::string> made_from);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] const std::map<std::string, std::vector<double>>& records() const { return records_; }
  [[nodiscard]] std::optional<std::vector<double>> find(const std::string& name) const;
  /// What is not finite comes back as NaN. Throws Error(kOutput) when the line cannot be written.
  void record(const std::string& name, const std::vector<double>& numbers);
  /// The numbers under `name`, made by `make` and recorded when they are not there.
  template <class Make>
  std::vector<double> once(const std::string& name, Make&& make) {
    if (auto known = find(name)) return *std::move(known);
    std::vector<double> numbers = make();
    record(name, numbers);
    return numbers;
  }

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::vector<double>> records_;
  std::ofstream lines_;
};

/// Rows of features that grow in a file, float32 one after another, beside records "<name>/<unit>" of how many there
/// are after each unit of work, and of their width.
class FeatureRows {
 public:
  /// What the journal does not know of is cut off. Throws Error(kInput) when there is less than it knows of.
  FeatureRows(Journal& journal, std::string name);
  /// Whether the unit's rows are there.
  [[nodiscard]] bool has(const std::string& unit) const;
  /// A unit's rows [n, D] and its record. Throws Error(kInput) when D differs from the rows that are there, Error(kOutput) when they cannot be written.
  void add(const std::string& unit, const torch::Tensor& rows);
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] std::int64_t width() const { return width_; }
  /// All rows [count, width] as pages of the file, for reading.
  [[nodiscard]] torch::Tensor rows() const;

 private:
  Journal* journal_;
  std::string name_;
  std::filesystem::path file_;
  std::int64_t count_ = 0, width_ = 0;
};

}  // namespace layeravatar::eval
