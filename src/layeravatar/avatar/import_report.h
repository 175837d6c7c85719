// What an import took from a file and what it left. No LibTorch.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace layeravatar::avatar {

struct ImportReport {
  /// Keys of the file by what was made of them, or by why they were left.
  using Groups = std::map<std::string, std::vector<std::string>>;
  Groups used, ignored;
  std::vector<std::string> missing;   // keys that a complete file has; what takes their place is in `notes`
  std::vector<std::string> notes;     // settings and where they come from, one line each
  std::vector<std::string> warnings;  // each one line
};

}  // namespace layeravatar::avatar
