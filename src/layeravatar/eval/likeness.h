// Do samples show what was asked for? Read from their pictures, not from how they were made.
#pragma once
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace layeravatar::eval {

/// What a person's front and back show. Places are rows from the crown (0) to the sole (1).
struct Looks {
  double bottom_end = 0;   // lowest row of trousers or skirt, socks apart
  double legs_apart = 0;   // share of the rows in the lower third of that in which something else shows between two parts of it
  double sleeves = 0;      // how far out the top reaches, 1: as far as the hands
  double hair_end = 0;     // lowest row of the hair from behind
  std::array<std::optional<std::array<double, 3>>, 5> colours;  // mean RGB of body, top, hair, shoes, bottom; empty where it does not show
};
/// Pictures [3, H, W] in 0..1 and labels [H, W] uint8 0..5. Throws Error(kInternal) for a picture without a person.
Looks looks_of(const torch::Tensor& front, const torch::Tensor& front_labels, const torch::Tensor& back, const torch::Tensor& back_labels);

/// Whether a person looks as "bottom" = "skirt" or "top-colour" = "red" says, by thresholds on lengths and by the nearest named colour in CIELAB; empty for what
/// pictures do not tell: the first name of an asset, sex, age.
std::optional<bool> shows(const Looks& looks, const std::string& name, const std::string& value);

struct LikenessOptions {
  std::filesystem::path model;
  std::vector<std::string> like;  // what is asked for, one after the other; empty: usual_requests()
  int count = 200;                // samples, shared out evenly
  std::uint64_t seed = 0;
  double guidance = 1;
  std::filesystem::path dataset;  // people whose attributes.json is compared with their pictures, to know how far `shows` can be trusted; empty: none
  std::filesystem::path sheet;    // a row of samples for each request, .png; empty: none
};
std::vector<std::string> usual_requests();

struct Likeness {
  struct Row {
    std::string like;
    int samples = 0, right = 0;        // right: everything that pictures tell is as asked for
    int right_unasked = 0;             // of as many samples with the same seeds of which nothing is asked
  };
  std::vector<Row> rows;
  struct Agreement {
    std::string name, value;
    int people = 0, right = 0, others = 0, wrong = 0;  // people who have it and look so; people who lack it and look so
  };
  std::vector<Agreement> people;
};
Likeness measure_likeness(const LikenessOptions& options, const std::function<void(const std::string&)>& say);

}  // namespace layeravatar::eval
