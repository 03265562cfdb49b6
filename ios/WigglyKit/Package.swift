// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "WigglyKit",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "WigglyKit", targets: ["WigglyKit"])],
    targets: [
        .target(name: "WigglyKit"),
        .testTarget(name: "WigglyKitTests", dependencies: ["WigglyKit"], resources: [.copy("vectors.json")]),
    ]
)
